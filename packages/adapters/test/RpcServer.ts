/** Serves a store over real HTTP/2 on a port of its own, as the storage program does. */
import { createServer } from "node:http2"
import type { AddressInfo } from "node:net"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { type InvoiceStore, Invoices, type Outbox, Profile, ProfileValidator } from "@invoice/core"
import { Effect, Layer } from "effect"
import { OutboxClient, Server, StoreClient } from "../src/connect/index.ts"
import { grpcTransport } from "../src/connect/node.ts"

/** The URL of a server for the ports around. */
export const serve = Effect.gen(function* () {
  const routes = yield* Server.storageRoutes({ ready: Effect.void })
  const server = createServer(connectNodeAdapter({ routes }))
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      })
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}).pipe(
  Effect.provide(Layer.provide(Invoices.layer, ProfileValidator.layer(Profile.core))),
  Effect.provide(ProfileValidator.layer(Profile.core))
)

/** The ports over RPC, on a server of their own for the ports given. */
export const remote = <E>(ports: Layer.Layer<InvoiceStore | Outbox, E>): Layer.Layer<InvoiceStore | Outbox, E> =>
  Layer.unwrap(
    Effect.map(
      Effect.flatMap(serve, (baseUrl) => grpcTransport({ baseUrl })),
      (transport) => Layer.mergeAll(StoreClient.layer(transport), OutboxClient.layer(transport))
    )
  ).pipe(Layer.provide(ports), Layer.fresh)
