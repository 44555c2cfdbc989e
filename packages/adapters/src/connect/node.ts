/** For Node.js: transports over HTTP/2, which calls that stream both ways need. */
import type { Interceptor, Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { Effect, type Scope } from "effect"
import { Http2Sessions } from "./Http2Sessions.ts"
import * as Messages from "./Messages.ts"

export interface Options {
  /** `http://host:port` for cleartext HTTP/2 (h2c), `https://…` for TLS. */
  readonly baseUrl: string
  /** The bearer token (RFC 6750) to send with a call; it is asked for each time, so that it may change. */
  readonly token?: (() => string | Promise<string>) | undefined
}

const authorized =
  (token: () => string | Promise<string>): Interceptor =>
  (next) =>
  async (request) => {
    request.header.set("authorization", `Bearer ${await token()}`)
    return next(request)
  }

/**
 * gRPC on one HTTP/2 connection, which is opened again by itself and closes with the scope. When a call's deadline
 * passes while the server sends nothing, the next call tries a new connection.
 */
export const grpcTransport = ({ baseUrl, token }: Options): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Http2Sessions(baseUrl)),
      (sessions) => Effect.sync(() => sessions.close())
    ),
    (sessions) =>
      createGrpcTransport({
        baseUrl,
        sessionManager: sessions,
        interceptors: token === undefined ? [sessions.interceptor] : [authorized(token), sessions.interceptor],
        readMaxBytes: Messages.maxInternalBytes
      })
  )
