/** Reads a request's body: bounded, inflated, decoded, and parsed without loss of digits; or fails with a problem. */
import { Json, JsonValues, LimitMetrics } from "@invoice/core"
import { ByteSize, Effect, Result } from "effect"
import { HttpIncomingMessage, type HttpServerRequest } from "effect/http"
import * as Inflation from "./Inflation.ts"
import * as Problem from "./Problem.ts"

/** Most bytes of a body, before and after decompression. */
export const maxBytes = 1_048_576

const utf8 = new TextDecoder("utf-8", { fatal: true })

const read = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Problem.Problem> =>
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

/** A body that has been received is kept on Node's request: entries of a `WeakMap` cost every garbage collection time. */
const received = Symbol("body")

interface Source {
  [received]?: Result.Result<Uint8Array, Problem.Problem>
}

/** Waits for the body, without an answer yet: `bytes` gives it, or the problem of one that can't be read. */
export const receive = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<void> =>
  Effect.map(Effect.result(read(request)), (result) => {
    const source: Source = request.source
    source[received] = result
  })

/** The body as it was sent. */
export const bytes = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Problem.Problem> =>
  Effect.suspend(() => {
    const source: Source = request.source
    const body = source[received]
    return body === undefined ? read(request) : Effect.fromResult(body)
  })

const decompressed = (encoding: string | undefined, body: Uint8Array): Effect.Effect<Uint8Array, Problem.Problem> => {
  if (encoding === undefined || encoding === "identity") {
    return Effect.succeed(body)
  }
  return encoding === "gzip" || encoding === "x-gzip"
    ? Effect.tryPromise({
        try: () => Inflation.gunzipped(body, maxBytes),
        catch: (error) =>
          error instanceof Inflation.TooInflated
            ? { ...Problem.tooLarge(maxBytes), ...(error.ratio ? { detail: error.message } : {}) }
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
  const parsed = Json.parse(text, { maxValues: JsonValues.maxOfRequest })
  if (Result.isFailure(parsed) && parsed.failure instanceof Json.TooManyValues) LimitMetrics.reached("json_values")
  return Result.isSuccess(parsed)
    ? Effect.succeed(parsed.success)
    : Effect.fail(Problem.badRequest(parsed.failure.message))
}
