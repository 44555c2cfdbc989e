import { execFileSync } from "node:child_process"
import { accessSync, constants, readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { vi } from "vitest"
import * as Json from "../src/domain/Json.ts"

/** What parsing gives, with numbers as `{ number: text }`, or the name of the error. */
const plain = (text: string): unknown => {
  const show = (value: unknown): unknown =>
    value instanceof Json.JsonNumber
      ? { number: value.text }
      : Array.isArray(value)
        ? value.map(show)
        : typeof value === "object" && value !== null
          ? Object.entries(value).map(([key, inner]) => [key, show(inner)])
          : value
  return Result.match(Json.parse(text), { onFailure: ({ _tag }) => _tag, onSuccess: show })
}

/** Runs with a `JSON.parse` that gives its reviver no source text, as engines before ECMAScript 2026 do. */
const withoutSource = <A>(run: () => A): A => {
  const native = JSON.parse
  const spy = vi
    .spyOn(JSON, "parse")
    .mockImplementation((text, reviver) => native(text, reviver && ((key, value) => reviver(key, value))))
  try {
    return run()
  } finally {
    spy.mockRestore()
  }
}

/** Documents that a naive way of keeping numbers gets wrong, and texts that it takes for documents. */
const hard: ReadonlyArray<string> = [
  "9007199254740993.01",
  "-0",
  "1E400",
  "1.10",
  '{"amount": 9007199254740994, "items": [{"total": 0.1000000000000000055511151231257827}]}',
  '{"1": 1, "a:2": ":3", "4": {"5": [6, "7", -8.9e-10]}}',
  '["n1", "s2", "", "\\"3", "\\\\", "4\\\\\\"5", "\\u0031", "\\ud800"]',
  '{"n1" : "n1", "s" :"s"}',
  '{"__proto__": 1, "a": 1, "a": 2}',
  "\t[ 1\n,\r2 ] ",
  '"1"',
  "true",
  "null",
  "{1: 2}",
  "{1: 2",
  "01",
  "-01",
  "1.",
  ".5",
  "+1",
  "--1",
  "1 2",
  "[1 2]",
  "0x10",
  "1e",
  "NaN",
  "-",
  "'1'",
  '"1',
  '"\n"',
  "[1,]",
  ""
]

const anyJson = Arbitrary.map(Arbitrary.schema(Schema.Json), (value) => JSON.stringify(value))

describe("Json", () => {
  it("keeps every number as the text that it was", () => {
    assert.deepStrictEqual(plain("[9007199254740993.01, -0, 1E400, 1.10]"), [
      { number: "9007199254740993.01" },
      { number: "-0" },
      { number: "1E400" },
      { number: "1.10" }
    ])
  })

  it("fails with an Error for what is no JSON, so that nothing ever throws a bare text", () => {
    const nested = "[".repeat(100_000) + "]".repeat(100_000)
    assert.deepStrictEqual(["{", "", nested].map(plain), ["InvalidJson", "InvalidJson", "InvalidJson"])
    try {
      Result.getOrThrow(Json.parse("{"))
      assert.fail("it parsed")
    } catch (error) {
      assert.instanceOf(error, Error)
      assert.instanceOf(error, Json.InvalidJson)
      assert.match(error.message, /^not JSON: /u)
    }
  })

  it.each(hard)("reads %j on an engine without source text as on one with it", (text) => {
    assert.deepStrictEqual(
      withoutSource(() => plain(text)),
      plain(text)
    )
  })

  it.prop("reads any JSON without source text as with it", [anyJson], ([text]) => {
    assert.deepStrictEqual(
      withoutSource(() => plain(text)),
      plain(text)
    )
  })

  it("reads large texts without source text too", () => {
    const text = JSON.stringify([`${'\\"1'.repeat(300_000)}`, "x".repeat(3_000_000), 1.5])
    const read = withoutSource(() => Result.getOrThrow(Json.parse(text)) as ReadonlyArray<unknown>)
    assert.deepStrictEqual(read[2], new Json.JsonNumber("1.5"))
    assert.strictEqual(JSON.stringify(read.slice(0, 2)), JSON.stringify(JSON.parse(text).slice(0, 2)))
  })
})

/** A Node.js on the PATH that is older than 21, which has no source text; outside of what npm brought. */
const oldNode = ((): string | undefined => {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const file = join(folder, "node")
    try {
      accessSync(file, constants.X_OK)
      if (Number(/^v(\d+)/u.exec(execFileSync(file, ["--version"], { encoding: "utf8" }))?.[1]) < 21) return file
    } catch {
      // not a Node.js
    }
  }
  return undefined
})()

const unclaimed = oldNode === undefined ? " (not claimed: a Node.js before 21 on the PATH)" : ""

describe("an engine that really has no source text", () => {
  it.skipIf(oldNode === undefined)(`reads what this one reads${unclaimed}`, () => {
    const source = ["../src/domain/JsonValues.ts", "../src/domain/Json.ts"]
      .map((file) => readFileSync(fileURLToPath(new URL(file, import.meta.url)), "utf8"))
      .join("\n")
      .replace(/^import .*JsonValues.*$/mu, "")
    const script = `${stripTypeScriptTypes(source)}
const show = (value) => value instanceof JsonNumber ? { number: value.text }
  : Array.isArray(value) ? value.map(show)
  : typeof value === "object" && value !== null ? Object.entries(value).map(([key, inner]) => [key, show(inner)])
  : value
JSON.parse("1", (key, value, context) => { if (context?.source !== undefined) throw new Error("it has source text") })
console.log(JSON.stringify(${JSON.stringify(hard)}.map((text) =>
  Result.match(parse(text), { onFailure: ({ _tag }) => _tag, onSuccess: show }))))`
    const printed = execFileSync(oldNode ?? "", ["--input-type=module", "--eval", script], {
      cwd: fileURLToPath(new URL("../../..", import.meta.url)),
      encoding: "utf8"
    })
    assert.deepStrictEqual(JSON.parse(printed), JSON.parse(JSON.stringify(hard.map(plain))))
  })
})
