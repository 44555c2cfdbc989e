/** For Node.js: transports over HTTP/2, which calls that stream both ways need. */
import type { Transport } from "@connectrpc/connect"
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node"
import { Effect, type Scope } from "effect"
import * as Messages from "./Messages.ts"

export interface Options {
  /** `http://host:port` for cleartext HTTP/2 (h2c), `https://…` for TLS. */
  readonly baseUrl: string
}

/** gRPC on one HTTP/2 connection, which comes back by itself and closes with the scope. */
export const grpcTransport = ({ baseUrl }: Options): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    // connections without a stream are pinged before their next use, not while they are idle: connect-node 2.2.0 would go
    // on pinging a session that was destroyed with a stream open, and that throws where nobody can catch it
    Effect.acquireRelease(
      Effect.sync(() => new Http2SessionManager(baseUrl, { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 })),
      (sessions) => Effect.sync(() => sessions.abort())
    ),
    (sessionManager) => createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: Messages.maxInternalBytes })
  )
