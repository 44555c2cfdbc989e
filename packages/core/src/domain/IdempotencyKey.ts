/**
 * The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a text by which a client marks the retries
 * of one request.
 */
import { Result } from "effect"
import { InvalidIdempotencyKey } from "./InvoiceError.ts"

/** Characters of a key. */
export const maxLength = 255

/** How long stores keep keys unless they are told otherwise: 24 hours, in milliseconds. */
export const retentionMillis = 24 * 3_600_000

/** The content of a structured field's string: visible characters and spaces, `"` and `\` escaped (RFC 9651, 3.3.3). */
const quoted = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/u

/** Visible characters of ASCII (VCHAR of RFC 5234). */
const visible = /^[!-~]+$/u

/**
 * The key in a header's value. The draft wants a string of structured fields, in quotes, and many clients send the key
 * without them: `"a1"` and `a1` are the same key. The key has 1 to 255 visible ASCII characters.
 */
export const parse = (value: string): Result.Result<string, InvalidIdempotencyKey> => {
  const text = value.trim()
  const key = text.startsWith('"') ? quoted.exec(text)?.[1]?.replace(/\\(.)/gu, "$1") : text
  const reason =
    key === undefined
      ? 'begins with a quote and is not one quoted string, in which " and \\ are written \\" and \\\\'
      : key === ""
        ? "is empty"
        : key.length > maxLength
          ? `has ${key.length} characters, and ${maxLength} are allowed`
          : visible.test(key)
            ? undefined
            : "has a character that is not visible ASCII; a space is not allowed either"
  return reason === undefined && key !== undefined
    ? Result.succeed(key)
    : Result.fail(new InvalidIdempotencyKey({ reason: reason ?? "" }))
}
