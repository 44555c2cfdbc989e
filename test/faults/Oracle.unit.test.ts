import { assert, describe, it } from "@effect/vitest"
import { recordOf } from "./Expected.ts"
import type { Committed } from "./Ledger.ts"
import { ahead, beyond, broken, gaps, judge, type Published } from "./Oracle.ts"

/** Written at second 0 by default. */
const event = (key: string, ver: number, at = 0): Committed => ({
  id: `${key}${ver}`,
  topic: "t",
  key,
  ver,
  type: "some.type",
  value: `{"ver":${ver}}`,
  at: 1_000 * at,
  traceparent: undefined
})

/** The log of a partition, one record a second; a name such as `a1` is a key and a version. */
const log = (...names: ReadonlyArray<string>): ReadonlyArray<Published> =>
  names.map((name, offset) => ({
    ...recordOf(event(name.slice(0, 1), Number(name.slice(1)))),
    partition: 0,
    offset: BigInt(offset),
    id: name,
    at: 1_000 * offset
  }))

const ledger = [event("a", 1), event("a", 2), event("a", 3), event("b", 1)]

describe("the oracle", () => {
  it("finds nothing wrong when each key's events came once and in order", () => {
    const judgement = judge(ledger, log("a1", "b1", "a2", "a3"))
    assert.deepStrictEqual(broken(judgement), [])
    assert.strictEqual(judgement.duplicates, 0)
    assert.strictEqual(judgement.altered, 0)
  })

  it("counts what was committed and never published", () => {
    assert.deepStrictEqual(broken(judge(ledger, log("a1", "a3", "b1"))), ["1 lost"])
  })

  it("counts what was published and never committed", () => {
    assert.deepStrictEqual(broken(judge(ledger, log("a1", "a2", "c9", "a3", "b1"))), ["1 never committed"])
  })

  it("counts a first delivery that came after a later event of its key", () => {
    assert.deepStrictEqual(broken(judge(ledger, log("a1", "a3", "a2", "b1"))), ["1 out of order"])
  })

  it("forgives duplicates, and tells apart those that came after a later event", () => {
    const judgement = judge(ledger, log("a1", "a1", "a2", "a1", "a3", "b1"))
    assert.deepStrictEqual(broken(judgement), [])
    assert.strictEqual(judgement.duplicates, 2)
    assert.strictEqual(judgement.lateDuplicates, 1)
  })

  it("counts keys whose events lie in two partitions, and orders those by the time of the append", () => {
    const published = log("a2", "a1", "a3", "b1").map((record) =>
      record.id === "a1" ? { ...record, partition: 1 } : record
    )
    const judgement = judge(ledger, published)
    assert.strictEqual(judgement.moved, 1)
    assert.strictEqual(judgement.inversions, 1)
  })

  it("finds records that are not what was committed, and says how they differ", () => {
    const [a1, b1, a2, a3] = log("a1", "b1", "a2", "a3")
    assert.isDefined(a1)
    assert.isDefined(a2)
    assert.isDefined(a3)
    assert.isDefined(b1)
    const altered: ReadonlyArray<Published> = [
      { ...a1, value: '{"ver":2}' },
      { ...a2, headers: { ...a2.headers, ce_version: "9" } },
      { ...a3, headers: { ...a3.headers, other: "1" } },
      { ...b1, topic: "u" }
    ]
    const judgement = judge(ledger, altered)
    assert.strictEqual(judgement.altered, 4)
    assert.deepStrictEqual(broken(judgement), [
      "4 other than they were committed",
      'a1: value is "{\\"ver\\":2}", not "{\\"ver\\":1}"',
      'a2: ce_version is "9", not "2"',
      'a3: other is "1", not undefined'
    ])
  })

  it("counts how long the longest event waited, and as silence only what nobody filled", () => {
    const committed = [event("a", 1, 0), event("a", 2, 1), event("b", 1, 9)]
    const at = (name: string, second: number) => log(name).map((record) => ({ ...record, at: 1_000 * second }))
    // a2 is written in second 1 and comes in second 8; nothing waits from there to second 9
    const judgement = judge(committed, [...at("a1", 0), ...at("a1", 4), ...at("a2", 8), ...at("b1", 11)])
    assert.strictEqual(judgement.waited, 7)
    assert.strictEqual(judgement.silence, 4)
    assert.deepStrictEqual(beyond({ bound: 7 }, judgement), [])
    assert.deepStrictEqual(beyond({ bound: 6 }, judgement), ["an event waited 7.0 s, which is longer than 6 s"])
  })

  it("fails on duplicates where none are allowed", () => {
    const judgement = judge(ledger, log("a1", "a1", "a2", "a3", "b1"))
    assert.deepStrictEqual(beyond({ bound: 60, once: true }, judgement), ["1 duplicates, where none are allowed"])
  })

  it("counts events that came before the one before them, on whatever topics", () => {
    assert.strictEqual(ahead(ledger, log("a1", "a2", "b1", "a3")), 0)
    assert.strictEqual(ahead(ledger, log("a2", "a1", "a3", "b1")), 1)
  })

  it("tells writers that skip a number from relays that lose one", () => {
    assert.deepStrictEqual(gaps(ledger), [])
    assert.deepStrictEqual(gaps([event("a", 1), event("a", 3)]), ["a"])
  })
})
