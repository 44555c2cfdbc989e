/** Connect, gRPC and gRPC-Web in front of another listener, which answers every request that is not a call. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { Code, ConnectError, createConnectRouter, createContextValues } from "@connectrpc/connect"
import type { UniversalHandler } from "@connectrpc/connect/protocol"
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node"
import { Server } from "@invoice/adapters/connect"
import { type Context, Effect } from "effect"
import * as RequestAllowance from "../auth/RequestAllowance.ts"
import * as RequestPrincipal from "../auth/RequestPrincipal.ts"
import * as BoundedMessages from "./BoundedMessages.ts"
import * as Inflation from "./Inflation.ts"

export interface Rpc {
  readonly handler: RequestListener
  /** Call it when the server begins to stop: it ends the watches, so that their clients connect to another server. */
  readonly onStop: () => void
  /** The paths of calls whose requests are streams of messages. */
  readonly streamed: ReadonlySet<string>
}

/** The longest deadline of a call, in milliseconds: a day. A timer of Node.js that is set to more than 24 days runs at once. */
const maxTimeoutMillis = 86_400_000

const grpcUnits: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 }

/** Cuts a deadline that is longer than a day: gRPC's (gRPC over HTTP/2, Requests) and Connect's, in milliseconds. */
const boundDeadline = (header: Headers): void => {
  const grpc = /^(\d{1,8})([HMS])$/u.exec(header.get("grpc-timeout") ?? "")
  if (grpc !== null && Number(grpc[1]) * (grpcUnits[grpc[2] ?? ""] ?? 0) > maxTimeoutMillis) {
    header.set("grpc-timeout", "24H")
  }
  const connect = header.get("connect-timeout-ms")
  if (connect !== null && /^\d{1,10}$/u.test(connect) && Number(connect) > maxTimeoutMillis) {
    header.set("connect-timeout-ms", String(maxTimeoutMillis))
  }
}

/** Resolves when it is the turn of a call in its session; undefined when it can go at once. */
const turn = (response: ServerResponse): Promise<void> | undefined => {
  let begun = false
  let begin = (): void => {
    begun = true
  }
  BoundedMessages.turn(response, () => begin())
  return begun
    ? undefined
    : new Promise((resolve) => {
        begin = resolve
      })
}

type Answer = Awaited<ReturnType<UniversalHandler>>

async function* each(chunks: ReadonlyArray<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks
}

/**
 * The answer of a call with one response, with all its bytes made. As Connect gives it, gRPC's is made while it is
 * written: until its client has read it, it would hold the message, its fields and its bytes, three times as much.
 */
const complete = async (handler: UniversalHandler, answer: Answer): Promise<Answer> => {
  const { body, header } = answer
  if (body === undefined || handler.method.methodKind !== "unary") return answer
  if (header?.get("content-type")?.startsWith("application/grpc") !== true) return answer
  const chunks: Array<Uint8Array> = []
  for await (const chunk of body) chunks.push(chunk)
  return { ...answer, body: each(chunks) }
}

/**
 * What `connectNodeAdapter` does, and the following: a call counts as in hand until its answer has been sent, deadlines
 * and inflation are bounded, and a call whose client has gone is no error in the log.
 */
const adapter = (routes: Server.Routes, fallback: RequestListener, context: Context.Context<never>) => {
  const router = createConnectRouter({ acceptCompression: [...Inflation.compressions] })
  routes(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))
  const log = Effect.runForkWith(context)
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const { url = "" } = request
    const query = url.indexOf("?")
    const handler = handlers.get(query === -1 ? url : url.slice(0, query))
    if (handler === undefined) {
      fallback(request, response)
      return
    }
    const values = createContextValues()
      .set(Server.whenSent, (run) => BoundedMessages.whenSent(response, run))
      .set(Server.turn, () => turn(response))
      .set(Server.principal, RequestPrincipal.get(request))
      .set(Server.allowance, RequestAllowance.get(request))
    const call = universalRequestFromNodeRequest(request, response, undefined, values)
    boundDeadline(call.header)
    handler(call)
      .then((answer) => complete(handler, answer))
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        if (!response.writableEnded) response.destroy()
        log(
          Effect.logDebug("answer not sent").pipe(
            Effect.annotateLogs({
              service: handler.service.typeName,
              method: handler.method.name,
              error: ConnectError.from(error).message
            })
          )
        )
      })
  }
  const streamed = router.handlers.filter(({ method }) => /^(client|bidi)_streaming$/u.test(method.methodKind))
  return { handle, streamed: new Set(streamed.map(({ requestPath }) => requestPath)) }
}

/** @param fallback answers every request that is not a call */
export const make = <R>(
  routes: (options: Server.Options) => Effect.Effect<Server.Routes, never, R>,
  options: Omit<Server.Options, "stopping">,
  fallback: RequestListener
): Effect.Effect<Rpc, never, R> =>
  Effect.gen(function* () {
    const stopping = new AbortController()
    const { handle, streamed } = adapter(
      yield* routes({ ...options, stopping: stopping.signal }),
      fallback,
      yield* Effect.context<never>()
    )
    return {
      handler: (request, response) => {
        try {
          handle(request, response)
        } catch {
          // connect throws when it can't read the URL or the host of a request
          response.writeHead(400, { "content-type": "text/plain" }).end("the host or the path can't be read\n")
        }
      },
      onStop: () => stopping.abort(new ConnectError("the server is stopping, call again", Code.Unavailable)),
      streamed
    }
  })
