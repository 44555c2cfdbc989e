/** Reads a program's input as a document: JSON as a text or bytes, its numbers kept as text, or an object as it is. */
import { Result } from "effect"
import * as Json from "./Json.ts"
import type { Violation } from "./Violation.ts"

// Node.js and browsers have it; the core is compiled with the types of ECMAScript alone
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
 * Reads a text, bytes in UTF-8 (a view or an `ArrayBuffer`), or any other value, which is taken as it is. `INV-JSON`
 * for a text that isn't JSON and for bytes that aren't UTF-8. A byte order mark is ignored (RFC 8259, section 8.1).
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
