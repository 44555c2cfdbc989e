import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import * as Json from "../src/domain/Json.ts"
import * as JsonValues from "../src/domain/JsonValues.ts"

const anyJson = Arbitrary.schema(Schema.Json)

/** The values of a document, counted the slow way. */
const values = (json: unknown): number =>
  typeof json === "object" && json !== null
    ? Object.values(json).reduce<number>((sum, value) => sum + values(value), 1)
    : 1

describe("JsonValues", () => {
  it.prop("counts the values of any JSON, however it is spaced", [anyJson], ([json]) => {
    assert.strictEqual(JsonValues.count(JSON.stringify(json)), values(json))
    assert.strictEqual(JsonValues.count(JSON.stringify(json, undefined, 2)), values(json))
  })

  it.each([
    ['["a,b", "[", "\\"", "\\\\", "\\\\\\",", {}]', 7],
    ["[ ]", 1],
    ['{"a" : [ {} , [ ] ] }', 4]
  ])("counts nothing in strings and in empty containers: %s", (text, expected) => {
    assert.strictEqual(JsonValues.count(text), expected)
  })

  it("stops at the limit", () => {
    assert.strictEqual(JsonValues.count(`[${"1,".repeat(1_000_000)}1]`, 10), 11)
  })
})

describe("Json.parse", () => {
  it("refuses a member that an object has twice, and names it", () => {
    for (const [text, name] of [
      ['{"a":1,"b":{"c":1},"a":2}', "a"],
      ['[{"x":"a","y":[{"amount":1, "am\\u006funt" :1}]}]', "amount"],
      [`{"${"k".repeat(1_000)}":1,"${"k".repeat(1_000)}":1}`, `${"k".repeat(63)}…`],
      ['{"__proto__":1,"__proto__":2}', "__proto__"]
    ] as const) {
      const { message } = Result.getOrThrow(Result.flip(Json.parse(text)))
      assert.strictEqual(message, `an object has the member ${JSON.stringify(name)} twice`)
    }
    assert.isTrue(Result.isSuccess(Json.parse('[{"a":{"a":"a"}},{"a":1,"A":1,"__proto__":1}]')))
  })

  it("refuses a document with more values than it may have, before it builds them", () => {
    const options = { maxValues: 3 }
    assert.isTrue(Result.isSuccess(Json.parse("[1,2]", options)))
    const { message } = Result.getOrThrow(Result.flip(Json.parse("[1,2,3]", options)))
    assert.strictEqual(message, "the document has more than 3 values")
    assert.isTrue(Result.isFailure(Json.parse(`[${"1,".repeat(100)}nonsense`, options)))
  })
})
