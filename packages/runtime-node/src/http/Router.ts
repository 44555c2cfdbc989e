/** Serves a table of routes: problems, limits, metrics and compression. */
import type { RequestListener } from "node:http"
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import { NodeHttpServer, NodeHttpServerRequest } from "@effect/platform-node"
import type { Admission } from "@invoice/adapters/connect"
import { Allowance, Defect, Principal, RequestMetrics } from "@invoice/core"
import { Cause, Effect, Scope } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import * as RequestAllowance from "../auth/RequestAllowance.ts"
import * as RequestPrincipal from "../auth/RequestPrincipal.ts"
import * as Admitted from "./Admitted.ts"
import * as Body from "./Body.ts"
import * as BoundedMessages from "./BoundedMessages.ts"
import * as Problem from "./Problem.ts"

export type Handler = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem>

/** Handlers by path and method. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Handler>>>>

/** A route of an application behind the table. */
export interface Route {
  /** Its path with the names of parameters, such as `/v1/invoices/{id}`: the label of the metrics. */
  readonly template: string
  /** The methods that it answers. */
  readonly allowed: ReadonlyArray<string>
}

/** An application that answers paths which the table lacks. */
export interface Fallback {
  /** The route of a path; undefined when there is none. */
  readonly find: (path: string) => Route | undefined
  /** Answers a request that has a route and one of its methods. */
  readonly handle: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    Problem.Problem,
    HttpServerRequest.HttpServerRequest | Scope.Scope
  >
}

const measure = RequestMetrics.make({
  prefix: "http",
  count: "HTTP requests answered",
  seconds: "Seconds from a request's headers to its answer"
})

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
  /** Paths that are served however many requests are in hand, so that health is never refused. */
  readonly unlimited?: ReadonlySet<string>
  readonly fallback?: Fallback
  /** Requests in hand; what it refuses is answered with 503. */
  readonly inFlight: Admission.Admission
  /** Paths whose bodies are streams of messages: they are in hand before their bodies are complete. */
  readonly streamed?: ReadonlySet<string>
}

/** A path that answers GET also answers HEAD; Node.js leaves out the body (RFC 9110, section 9.3.2). */
const withHead = (routes: Routes): Routes =>
  Object.fromEntries(
    Object.entries(routes).map(([path, { GET, ...others }]) => [
      path,
      GET === undefined ? others : { GET, HEAD: GET, ...others }
    ])
  )

/** The application of a table of routes. Every request gets an answer, also one that fails or matches no route. */
export const application = (table: Routes, { fallback, inFlight, streamed, unlimited }: Options) => {
  const routes = withHead(table)

  const answer = (
    request: HttpServerRequest.HttpServerRequest,
    path: string,
    behind: Route | undefined
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope> => {
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined
    if (route === undefined && (behind === undefined || fallback === undefined)) {
      return Effect.succeed(Problem.toResponse(Problem.notFound))
    }
    const allowed = route === undefined ? (behind?.allowed ?? []) : Object.keys(route)
    if (!allowed.includes(request.method)) {
      return Effect.succeed(Problem.toResponse(Problem.methodNotAllowed(allowed)))
    }
    return (route?.[request.method]?.(request) ?? fallback?.handle ?? Effect.fail(Problem.notFound)).pipe(
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
    // the labels of the metrics come from a closed set, whatever clients send
    const method = methods.has(request.method) ? request.method : "other"
    const inTable = Object.hasOwn(routes, path)
    const behind = inTable ? undefined : fallback?.find(path)
    const route = inTable ? path : (behind?.template ?? "unmatched")
    const measured = (status: number): Effect.Effect<void> =>
      measure({ method, path: route, status: String(status) }, (performance.now() - startedAt) / 1000)
    const answered = Effect.suspend(() =>
      Effect.flatMap(answer(request, path, behind), (response) =>
        wantsGzip(request) ? compressed(response) : Effect.succeed(response)
      )
    )
    const admitted = Effect.catch(Admitted.within(inFlight, request, answered), (problem) =>
      Effect.succeed(Problem.toResponse(problem))
    )
    const served = unlimited?.has(path) === true ? answered : inTurn(request, admitted)
    // a slow body is not in hand: receiving has a budget of its own
    return (
      hasBody(request) && streamed?.has(path) !== true ? Effect.andThen(Body.receive(request), served) : served
    ).pipe(Effect.tap(({ status }) => measured(status)))
  })
}

const hasBody = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

/** Serves the request when it is its turn in its session of HTTP/2; with HTTP/1.1 at once. */
const inTurn = <A, R>(
  request: HttpServerRequest.HttpServerRequest,
  served: Effect.Effect<A, never, R>
): Effect.Effect<A, never, R> =>
  Effect.suspend(() => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return request.source instanceof BoundedMessages.Request2
      ? Effect.andThen(
          Effect.callback<void>((resume) => BoundedMessages.turn(response, () => resume(Effect.void))),
          served
        )
      : served
  })

/** Logs a defect under an id, and answers with this id. */
const broken = (cause: Cause.Cause<never>): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(Defect.report("request failed", cause), (instance) => Problem.toResponse(Problem.defect(instance)))

/** Handles a request as the principal that authentication has found, and as fast as its rate allows. */
const asSender = <A, E, R>(
  application: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const incoming = NodeHttpServerRequest.toIncomingMessage(request)
    const name = RequestPrincipal.get(incoming)
    const allowance = RequestAllowance.get(incoming)
    const named = name === undefined ? application : Effect.provideService(application, Principal, name)
    return allowance === undefined ? named : Effect.provideService(named, Allowance, allowance)
  })

/**
 * The application of a table of routes as a listener of Node's servers. Requests in hand end with the scope, after what is
 * acquired in it later: a listener that serves them can wait for them when it stops.
 */
export const handler = (routes: Routes, options: Options): Effect.Effect<RequestListener, never, Scope.Scope> =>
  Effect.gen(function* () {
    // each request adds itself to this scope, which takes its place in the order of the outer one now
    const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
    return yield* NodeHttpServer.makeHandler(asSender(application(routes, options)), { scope })
  })
