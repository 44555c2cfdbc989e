/** What a program has in hand, read as a document: a text or bytes of JSON with its numbers kept, or an object as it is. */
import { Result } from "effect"
import * as Json from "./Json.ts"
import type { Violation } from "./Violation.ts"

// in every engine that has `JSON.parse`; the core's types are those of ECMAScript alone
declare const TextDecoder: new (
  label: string,
  options: { readonly fatal: boolean }
) => { readonly decode: (bytes: ArrayBuffer | ArrayBufferView) => string }

const invalid = (message: string): Violation => ({
  code: "INV-JSON",
  severity: "error",
  path: "",
  message: message.toWellFormed()
})

/**
 * A text, bytes in UTF-8 (a view or an `ArrayBuffer`), or anything else, which is taken as it is. `INV-JSON` for a text that
 * is no JSON and for bytes that are no text. A byte order mark is passed over (RFC 8259, section 8.1).
 */
export const read = (input: unknown): Result.Result<unknown, Violation> => {
  if (typeof input === "string") {
    return Result.mapError(Json.parse(input.startsWith("\ufeff") ? input.slice(1) : input), ({ message }) =>
      invalid(message)
    )
  }
  return input instanceof ArrayBuffer || ArrayBuffer.isView(input) ? readBytes(input) : Result.succeed(input)
}

const readBytes = (bytes: ArrayBuffer | ArrayBufferView): Result.Result<unknown, Violation> => {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return Result.fail(invalid("not UTF-8"))
  }
  return read(text)
}
