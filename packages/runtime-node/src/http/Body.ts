/** Reads a request's body: bounded, inflated, decoded, and parsed without loss of digits; or fails with a problem. */
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { Json } from "@invoice/core"
import { ByteSize, Effect, Predicate, Result } from "effect"
import { HttpIncomingMessage, type HttpServerRequest } from "effect/http"
import * as Problem from "./Problem.ts"

/** Most bytes of a body, before and after decompression. */
export const maxBytes = 1_048_576

const inflate = promisify(gunzip)
const utf8 = new TextDecoder("utf-8", { fatal: true })

const bytes = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Problem.Problem> =>
  Number(request.headers["content-length"] ?? 0) > maxBytes
    ? Effect.fail(Problem.tooLarge(maxBytes))
    : request.arrayBuffer.pipe(
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
        Effect.map((buffer) => new Uint8Array(buffer)),
        Effect.mapError((error) =>
          error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
            ? Problem.tooLarge(maxBytes)
            : Problem.badRequest("the body ended before it was complete")
        )
      )

const decompressed = (encoding: string | undefined, body: Uint8Array): Effect.Effect<Uint8Array, Problem.Problem> => {
  if (encoding === undefined || encoding === "identity") {
    return Effect.succeed(body)
  }
  return encoding === "gzip" || encoding === "x-gzip"
    ? Effect.tryPromise({
        // inflating stops at the limit, so a decompression bomb costs a megabyte
        try: () => inflate(body, { maxOutputLength: maxBytes }),
        catch: (error) =>
          Predicate.hasProperty(error, "code") && error.code === "ERR_BUFFER_TOO_LARGE"
            ? Problem.tooLarge(maxBytes)
            : Problem.badRequest("the body is not gzip, as its content-encoding says")
      })
    : Effect.fail(Problem.unsupported("content-encoding may be gzip or identity"))
}

const jsonType = /^application\/(json|[\w.-]+\+json)\s*(;|$)/iu

/** The document, with numbers as `JsonNumber`. */
export const json = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<unknown, Problem.Problem> => {
  const type = request.headers["content-type"]
  return type !== undefined && !jsonType.test(type)
    ? Effect.fail(Problem.unsupported("content-type must be application/json"))
    : bytes(request).pipe(
        Effect.flatMap((body) => decompressed(request.headers["content-encoding"]?.trim().toLowerCase(), body)),
        Effect.flatMap(parse)
      )
}

const parse = (body: Uint8Array): Effect.Effect<unknown, Problem.Problem> => {
  if (body.length === 0) {
    return Effect.fail(Problem.badRequest("the body is empty, expected JSON"))
  }
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    return Effect.fail(Problem.badRequest("the body is not UTF-8"))
  }
  const parsed = Json.parse(text)
  return Result.isSuccess(parsed)
    ? Effect.succeed(parsed.success)
    : Effect.fail(Problem.badRequest(parsed.failure.message))
}
