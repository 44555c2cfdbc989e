/**
 * JSON without loss: `JSON.parse` turns 9007199254740993.01 into …994, so numbers are kept as their text.
 *
 * A member that an object has twice is refused: which of the two counts would depend on who reads (RFC 8259, section 4).
 *
 * Uses the source text that `JSON.parse` passes to its reviver (ECMAScript 2026; Node 21, Chrome 114, Safari 18.4). On
 * older engines the text is read a second time, with every number made a string.
 */
import { Result } from "effect"
import { count, duplicate } from "./JsonValues.ts"

/** A number as it stood in the document. */
export class JsonNumber {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Why a text isn't JSON. A plain `Error`, so that a browser bundle needs no Schema for it. */
export class InvalidJson extends Error {
  readonly _tag = "InvalidJson"
  override readonly name = "InvalidJson"
}

/** The text has more values than its reader allows. */
export class TooManyValues extends InvalidJson {
  constructor(maxValues: number) {
    super(`the document has more than ${maxValues} values`)
  }
}

export interface Options {
  /** Most values in a text: the whole, every element and every member. Default: no limit. */
  readonly maxValues?: number
}

/** The document with every number as a `JsonNumber`, or why it isn't JSON. */
export const parse = (
  text: string,
  { maxValues = Number.POSITIVE_INFINITY }: Options = {}
): Result.Result<unknown, InvalidJson> => {
  const values = count(text, maxValues)
  if (values > maxValues) {
    return Result.fail(new TooManyValues(maxValues))
  }
  try {
    return read(text, values)
  } catch (error) {
    return Result.fail(
      new InvalidJson(
        error instanceof RangeError ? "the document is nested too deeply" : `not JSON: ${(error as Error).message}`
      )
    )
  }
}

/** @param values how many values the text has: fewer are read when a member's value replaced another's */
const read = (text: string, values: number): Result.Result<unknown, InvalidJson> => {
  let lossy = false
  let seen = 0
  const document: unknown = JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) => {
    seen++
    if (typeof value !== "number") {
      return value
    }
    lossy ||= context?.source === undefined
    return new JsonNumber(context?.source ?? String(value))
  })
  return seen === values
    ? Result.succeed(lossy ? readMarked(text) : document)
    : Result.fail(new InvalidJson(`an object has the member ${shown(duplicate(text) ?? "")} twice`))
}

/** Of a name that a stranger sent, as much as a person needs to know it again. */
const shown = (name: string): string => JSON.stringify(name.length > 64 ? `${name.slice(0, 63)}…` : name)

// a string, with the colon behind it when it is a key; or a number
const token = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gu

/**
 * Reads a text that is known to be JSON. First every string value gets the prefix `s`, and every number becomes a
 * string with the prefix `n`.
 */
const readMarked = (text: string): unknown => {
  const marked = text.replace(token, (number: string, string: string | undefined, colon: string | undefined) =>
    string === undefined ? `"n${number}"` : colon === undefined ? `"s${string.slice(1)}` : number
  )
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value !== "string" ? value : value.startsWith("n") ? new JsonNumber(value.slice(1)) : value.slice(1)
  )
}
