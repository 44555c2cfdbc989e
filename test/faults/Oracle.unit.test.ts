import { assert, describe, it } from "@effect/vitest"
import type { Committed } from "./Ledger.ts"
import { broken, gaps, judge, type Published } from "./Oracle.ts"

const event = (key: string, ver: number): Committed => ({ id: `${key}${ver}`, topic: "t", key, ver })

/** The events of a ledger as `key` and `ver`, in the order of a partition. */
const log = (...names: ReadonlyArray<string>): ReadonlyArray<Published> =>
  names.map((name, offset) => ({
    topic: "t",
    partition: 0,
    offset: BigInt(offset),
    id: name,
    key: name.slice(0, 1),
    ver: Number(name.slice(1)),
    at: 1_000 * offset
  }))

const ledger = [event("a", 1), event("a", 2), event("a", 3), event("b", 1)]

describe("the oracle", () => {
  it("finds nothing wrong when each key's events came once and in order", () => {
    const judgement = judge(ledger, log("a1", "b1", "a2", "a3"))
    assert.deepStrictEqual(broken(judgement), [])
    assert.strictEqual(judgement.duplicates, 0)
    assert.strictEqual(judgement.silence, 1)
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

  it("tells writers that skip a number from relays that lose one", () => {
    assert.deepStrictEqual(gaps(ledger), [])
    assert.deepStrictEqual(gaps([event("a", 1), event("a", 3)]), ["a"])
  })
})
