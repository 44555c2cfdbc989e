/**
 * JSON without loss: `JSON.parse` turns 9007199254740993.01 into …994, so numbers are kept as the text they were.
 *
 * Uses the source text that `JSON.parse` hands to its reviver (ECMAScript 2026; Node 21, Chrome 114, Safari 18.4).
 */
import { Result } from "effect"

/** A number as it stood in the document. */
export class JsonNumber {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

const keepNumbers = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === "number" ? new JsonNumber(context?.source ?? String(value)) : value

/** The document with every number as a `JsonNumber`, or why it isn't JSON. */
export const parse = (text: string): Result.Result<unknown, string> => {
  try {
    return Result.succeed(JSON.parse(text, keepNumbers))
  } catch (error) {
    return Result.fail(
      error instanceof RangeError ? "the document is nested too deeply" : `not JSON: ${(error as Error).message}`
    )
  }
}
