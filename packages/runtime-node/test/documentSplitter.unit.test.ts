import { assert, describe, it } from "@effect/vitest"
import * as DocumentSplitter from "@invoice/runtime-node/validate/DocumentSplitter"
import { Arbitrary, Schema } from "effect"

type Mode = DocumentSplitter.Mode

/** The documents of a text that comes in chunks of `size` bytes, as `line:text`; `!` for one that is too large. */
const split = (text: string, mode: Mode, size = 7): ReadonlyArray<string> => {
  const splitter = DocumentSplitter.make(mode, { maxBytes: 100 })
  const bytes = Buffer.from(text)
  const found: Array<DocumentSplitter.Found> = []
  for (let from = 0; from < bytes.length; from += size) found.push(...splitter.push(bytes.subarray(from, from + size)))
  found.push(...splitter.end())
  return found.map(({ bytes, line }) => `${line ?? ""}:${bytes === undefined ? "!" : bytes.toString().trim()}`)
}

describe("the splitter of documents", () => {
  it.each([
    ["a line each, when the first line is JSON", '{"a":1}\n\n{"b":\n{"c":3}', ['1:{"a":1}', '3:{"b":', '4:{"c":3}']],
    ["a line each, when the first line is an object that is broken", '{"a":}\n{"b":2}\n', ['1:{"a":}', '2:{"b":2}']],
    ["all of it, when the first line is a part of JSON", '{\n"a":1\n}\n', [':{\n"a":1\n}']],
    ["all of it, when there is one line", '{"a":1}', [':{"a":1}']],
    ["all of it, when there is one line that ends", '\n{"a":1}\n\n', [':{"a":1}']],
    ["all of it, when it is no JSON", "hello\nworld", [":hello\nworld"]],
    ["nothing but what is there, when it is empty", "", [":"]],
    ["nothing but what is there, when it is blank", " \n\t\r\n", [":"]],
    ["lines that end as on Windows", '{"a":1}\r\n{"b":2}\r\n', ['1:{"a":1}', '2:{"b":2}']],
    ["lines behind a byte order mark", '\ufeff{"a":1}\n{"b":2}', ['1:{"a":1}', '2:{"b":2}']]
  ])("finds %s", (_, text, found) => {
    for (const size of [1, 2, 7, 1_000]) assert.deepStrictEqual(split(text, "guess", size), found)
  })

  it("finds lines, or all of it, when it is told to", () => {
    assert.deepStrictEqual(split("{\n1\n\n", "lines"), ["1:{", "2:1"])
    assert.deepStrictEqual(split("", "lines"), [])
    assert.deepStrictEqual(split('{"a":1}\n{"b":2}', "whole"), [':{"a":1}\n{"b":2}'])
  })

  it("passes over a line that is too large, and over a document", () => {
    const large = "x".repeat(101)
    assert.deepStrictEqual(split(`{"a":1}\n${large}\n{"b":2}\n${large}`, "guess"), [
      '1:{"a":1}',
      "2:!",
      '3:{"b":2}',
      "4:!"
    ])
    assert.deepStrictEqual(split(`{\n${large}\n}`, "guess"), [":!"])
    assert.deepStrictEqual(split(`${large}\n{"b":2}\n`, "guess"), [":!"])
    assert.deepStrictEqual(split("x".repeat(100), "whole"), [`:${"x".repeat(100)}`])
  })

  const size = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })))
  const texts = Arbitrary.array(Arbitrary.schema(Schema.Json), { minLength: 2, maxLength: 5 })

  it.prop("finds every line of JSON whatever the chunks", [texts, size], ([values, size]) => {
    const lines = values.map((value) => JSON.stringify(value)).filter((line) => Buffer.byteLength(line) <= 100)
    if (lines.length > 1) {
      const found = split(lines.join("\n"), "guess", size).map((text) => text.slice(text.indexOf(":") + 1))
      assert.deepStrictEqual(
        found,
        lines.map((line) => line.trim())
      )
    }
  })
})
