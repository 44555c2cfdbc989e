/** Cursors of changes: short however many transactions are in progress, and only those that were handed out are read. */
import { assert, describe, it } from "@effect/vitest"
import { Random } from "../../../test/faults/Random.ts"
import * as ChangeCursor from "../src/postgres/ChangeCursor.ts"

const snapshot = (xmin: bigint, distances: ReadonlyArray<number>): string => {
  let last = xmin
  const xip = distances.map((distance, index) => {
    last += index === 0 ? 0n : BigInt(distance)
    return last
  })
  return `${xmin}:${last + 1n}:${xip.join(",")}`
}

const drawn = (random: Random): string =>
  snapshot(
    BigInt(random.between(3, 2 ** 40)),
    Array.from({ length: random.between(0, 100) }, () => random.between(1, random.pick([3, 100_000])))
  )

const windowOf = (lo: string, hi: string) => {
  const cursors = ChangeCursor.ofWindow(lo, hi)
  assert.isDefined(cursors)
  return cursors
}

describe("a cursor of changes", () => {
  it("is read as the position that it was made of", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed)
      const [lo, hi, pos] = [drawn(random), drawn(random), random.between(1, 2 ** 45)]
      const cursors = windowOf(lo, hi)
      assert.deepStrictEqual(ChangeCursor.parse(cursors.end), { lo: hi, window: undefined })
      assert.deepStrictEqual(ChangeCursor.parse(cursors.at(BigInt(pos))), { lo, window: { hi, pos: String(pos) } })
    }
  })

  it("that differs in a character is another position or none, and never the same", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed)
      const lo = drawn(random)
      const cursor = windowOf(lo, lo).at(77n)
      const index = random.between(0, cursor.length - 1)
      const other = `${cursor.slice(0, index)}${random.pick([..."AZaz09-_."])}${cursor.slice(index + 1)}`
      if (other !== cursor) assert.notDeepEqual(ChangeCursor.parse(other), ChangeCursor.parse(cursor))
    }
  })

  it("of an earlier version is still read", () => {
    assert.deepStrictEqual(ChangeCursor.parse("1001:1005:1001,1003"), { lo: "1001:1005:1001,1003", window: undefined })
    assert.deepStrictEqual(ChangeCursor.parse("3:3:|10:12:10|7"), {
      lo: "3:3:",
      window: { hi: "10:12:10", pos: "7" }
    })
  })

  it("of an earlier version is read up to 1,024 characters", () => {
    const fits = snapshot(1_000_000_000n, Array(90).fill(1))
    const long = snapshot(1_000_000_000n, Array(100).fill(1))
    assert.isBelow(fits.length, ChangeCursor.maxLength)
    assert.isDefined(ChangeCursor.parse(fits))
    assert.isAbove(long.length, ChangeCursor.maxLength)
    assert.isDefined(ChangeCursor.ofSnapshot(long))
    assert.isUndefined(ChangeCursor.parse(long))
  })

  it.each([
    ["700 transactions side by side", snapshot(1_000_000_000n, Array(700).fill(1))],
    ["700 transactions, every second one of those that began", snapshot(1_000_000_000n, Array(700).fill(2))],
    ["360 transactions that lie a hundred apart", snapshot(1_000_000_000n, Array(360).fill(100))],
    ["20 old transactions and 600 young ones", snapshot(7n, [...Array(20).fill(1_000_000), ...Array(600).fill(2)])]
  ])("has at most 1,024 characters in a window of two snapshots with %s in progress", (_, lo) => {
    const { at, end } = windowOf(lo, lo)
    assert.isAtMost(at(999_999_999_999_999_999n).length, ChangeCursor.maxLength)
    assert.isBelow(end.length, ChangeCursor.maxLength / 2)
  })

  it("can't name more transactions than fit", () => {
    const many = snapshot(1_000_000_000n, Array(2_000).fill(1_000))
    assert.isUndefined(ChangeCursor.ofSnapshot(many))
    assert.isUndefined(ChangeCursor.parse(many))
  })

  it.each(["", ".", "A.A", "9:3:", "0:3:", "3:9:9", "3:9:5,4", "1:1:1|1:1:1|1", "AwA.AwA.0x", "_".repeat(2_000)])(
    "that nobody handed out is none: %s",
    (cursor) => {
      assert.isUndefined(ChangeCursor.parse(cursor))
    }
  )
})
