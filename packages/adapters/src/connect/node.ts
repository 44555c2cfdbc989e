/** For Node.js: transports over HTTP/2, which calls that stream both ways need. */
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { Effect, type Scope } from "effect"
import * as Authorization from "./Authorization.ts"
import { Http2Sessions } from "./Http2Sessions.ts"
import * as Messages from "./Messages.ts"

export interface Options {
  /** `http://host:port` for cleartext HTTP/2 (h2c), `https://…` for TLS. */
  readonly baseUrl: string
  /** The bearer token to send with a call. */
  readonly token?: Authorization.Token | undefined
  /** Called with the reason when the server refuses a call because of its token. */
  readonly onRefused?: (reason: string) => void
}

const refusals = new Set([Code.Unauthenticated, Code.PermissionDenied])

const reporting =
  (onRefused: Options["onRefused"]): Interceptor =>
  (next) =>
  async (request) => {
    try {
      return await next(request)
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error)
      if (refusals.has(code)) onRefused?.(rawMessage)
      throw error
    }
  }

/**
 * gRPC on one HTTP/2 connection, which is opened again by itself and closes with the scope. When a call's deadline
 * passes while the server sends nothing, the next call tries a new connection.
 */
export const grpcTransport = ({ baseUrl, onRefused, token }: Options): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Http2Sessions(baseUrl)),
      (sessions) => Effect.sync(() => sessions.close())
    ),
    (sessions) =>
      createGrpcTransport({
        baseUrl,
        sessionManager: sessions,
        interceptors: [
          ...(token === undefined ? [] : [Authorization.withToken(token)]),
          reporting(onRefused),
          sessions.interceptor
        ],
        readMaxBytes: Messages.maxInternalBytes
      })
  )
