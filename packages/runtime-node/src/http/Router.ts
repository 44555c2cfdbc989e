/** Serves a table of routes: problems, limits, metrics and compression. */
import { randomUUID } from "node:crypto"
import type { RequestListener } from "node:http"
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import { NodeHttpServer } from "@effect/platform-node"
import { Cause, Effect, Metric, type Scope } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Problem from "./Problem.ts"

export type Handler = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem>

/** Handlers by path and method. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Handler>>>>

const requests = Metric.counter("http_requests_total", { description: "HTTP requests answered", incremental: true })

const durations = Metric.histogram("http_request_duration_seconds", {
  description: "Seconds from a request's headers to its answer",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
})

type Labelled = readonly [count: Metric.Metric<number, unknown>, seconds: Metric.Metric<number, unknown>]

// one metric for each route, method and status, made once: attributes are costly to attach
const labelled = new Map<string, Labelled>()

const measure = (method: string, path: string, status: number, startedAt: number): Effect.Effect<void> => {
  const key = `${method} ${path} ${status}`
  let metrics = labelled.get(key)
  if (metrics === undefined) {
    const attributes = { method, path, status: String(status) }
    metrics = [Metric.withAttributes(requests, attributes), Metric.withAttributes(durations, attributes)]
    labelled.set(key, metrics)
  }
  const [count, seconds] = metrics
  return Effect.andThen(Metric.update(count, 1), Metric.update(seconds, (performance.now() - startedAt) / 1000))
}

const compress = promisify(gzip)

const wantsGzip = (request: HttpServerRequest.HttpServerRequest): boolean =>
  /(^|,)\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*(,|$))|,|$)/iu.test(request.headers["accept-encoding"] ?? "")

const compressed = (
  response: HttpServerResponse.HttpServerResponse
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const { body } = response
  return body._tag === "Uint8Array"
    ? Effect.map(
        Effect.promise(() => compress(body.body)),
        (bytes) =>
          HttpServerResponse.uint8Array(bytes, {
            status: response.status,
            headers: { ...response.headers, "content-encoding": "gzip", vary: "accept-encoding" },
            contentType: body.contentType
          })
      )
    : Effect.succeed(response)
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

export interface Options {
  /** Requests in hand at once; more are answered with 503. */
  readonly maxInFlight: number
}

/** Whoever answers GET answers HEAD, and Node.js leaves out the body (RFC 9110, section 9.3.2). */
const withHead = (routes: Routes): Routes =>
  Object.fromEntries(
    Object.entries(routes).map(([path, { GET, ...others }]) => [
      path,
      GET === undefined ? others : { GET, HEAD: GET, ...others }
    ])
  )

/** The application of a table of routes: total, whatever comes in gets an answer that says why. */
export const application = (table: Routes, { maxInFlight }: Options) => {
  const routes = withHead(table)
  let inFlight = 0

  const answer = (
    request: HttpServerRequest.HttpServerRequest,
    path: string
  ): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (route === undefined) {
      return Effect.succeed(Problem.toResponse(Problem.notFound))
    }
    const handler = Object.hasOwn(route, request.method) ? route[request.method] : undefined
    if (handler === undefined) {
      return Effect.succeed(Problem.toResponse(Problem.methodNotAllowed(Object.keys(route))))
    }
    return handler(request).pipe(
      Effect.catch((problem) => Effect.succeed(Problem.toResponse(problem))),
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause as Cause.Cause<never>) : broken(cause)
      )
    )
  }

  return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const startedAt = performance.now()
    const query = request.url.indexOf("?")
    const path = query === -1 ? request.url : request.url.slice(0, query)
    // labels from a closed set: clients must not be able to make metrics
    const method = methods.has(request.method) ? request.method : "other"
    const route = Object.hasOwn(routes, path) ? path : "unmatched"
    if (inFlight >= maxInFlight) {
      return Effect.as(measure(method, route, 503, startedAt), Problem.toResponse(Problem.overloaded))
    }
    inFlight++
    return answer(request, path).pipe(
      Effect.flatMap((response) => (wantsGzip(request) ? compressed(response) : Effect.succeed(response))),
      Effect.map(HttpServerResponse.setHeader("x-content-type-options", "nosniff")),
      Effect.tap((response) => measure(method, route, response.status, startedAt)),
      Effect.ensuring(
        Effect.sync(() => {
          inFlight--
        })
      )
    )
  })
}

/** A defect's message stays here: the client gets an id to tell us. */
const broken = (cause: Cause.Cause<never>): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.suspend(() => {
    const id = randomUUID()
    return Effect.as(
      Effect.logError("request failed", cause).pipe(Effect.annotateLogs({ instance: id })),
      Problem.toResponse(Problem.defect(`urn:uuid:${id}`))
    )
  })

/** The application of a table of routes as a listener of Node's servers; what is in hand ends with the scope. */
export const handler = (routes: Routes, options: Options): Effect.Effect<RequestListener, never, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) => NodeHttpServer.makeHandler(application(routes, options), { scope }))
