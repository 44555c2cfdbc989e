import { assert, describe, it } from "@effect/vitest"
import * as BatchSize from "../src/postgres/BatchSize.ts"

describe("the number of invoices that a statement reads", () => {
  it("grows while they are small, to 256 and no further", () => {
    const size = BatchSize.make()
    const seen = [size.current()]
    for (let statement = 0; statement < 8; statement++) {
      size.learn(size.current(), size.current() * 300)
      seen.push(size.current())
    }
    assert.deepStrictEqual(seen, [8, 16, 32, 64, 128, 256, 256, 256, 256])
  })

  it("falls at once when they are large, to one, and recovers", () => {
    const size = BatchSize.make()
    size.learn(8, 8 * 1_048_576)
    assert.strictEqual(size.current(), 2)
    size.learn(2, 2 * 100_000_000)
    assert.strictEqual(size.current(), 1)
    size.learn(0, 0)
    assert.strictEqual(size.current(), 1)
    size.learn(1, 300)
    assert.strictEqual(size.current(), 2)
  })
})
