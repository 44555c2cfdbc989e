/** What a client may send as `Idempotency-Key`. */
import { assert, describe, it } from "@effect/vitest"
import { IdempotencyKey } from "@invoice/core"
import { Result } from "effect"

const keyOf = (value: string): string =>
  Result.match(IdempotencyKey.parse(value), {
    onFailure: (error) => `refused: ${error.message}`,
    onSuccess: (key) => key
  })

const refused = (value: string): boolean => Result.isFailure(IdempotencyKey.parse(value))

describe("an idempotency key", () => {
  it.each([
    ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["  a1 ", "a1"],
    [' "a1"\t', "a1"],
    ["a,b;c=d", "a,b;c=d"],
    ['a"b\\c', 'a"b\\c'],
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['"\\""', '"'],
    ["~!", "~!"],
    ["x".repeat(255), "x".repeat(255)],
    [`"${"x".repeat(255)}"`, "x".repeat(255)],
    [`"${'\\"'.repeat(255)}"`, '"'.repeat(255)]
  ])("%j is the key %j", (value, key) => {
    assert.strictEqual(keyOf(value), key)
  })

  it.each([
    ["", "is empty"],
    ["   ", "is empty"],
    ['""', "is empty"],
    ['"a', "one quoted string"],
    ['"', "one quoted string"],
    ['"a"b', "one quoted string"],
    ['"a", "b"', "one quoted string"],
    ['"a";b=1', "one quoted string"],
    ['"a\\b"', "one quoted string"],
    ["a b", "visible ASCII"],
    ['"a b"', "visible ASCII"],
    ["a, b", "visible ASCII"],
    ["żółć", "visible ASCII"],
    ["a\u0000b", "visible ASCII"],
    ["a\u007f", "visible ASCII"],
    ["x".repeat(256), "has 256 characters, and 255 are allowed"],
    [`"${"x".repeat(256)}"`, "has 256 characters, and 255 are allowed"]
  ])("%j is refused, since it %s", (value, reason) => {
    assert.include(keyOf(value), "refused: the idempotency key ")
    assert.include(keyOf(value), reason)
  })

  it("takes no more time for a long text than its length asks for", () => {
    assert.isTrue(refused(`"${"\\".repeat(1_000_000)}`))
    assert.isTrue(refused(`"${'\\"'.repeat(500_000)}`))
  })
})
