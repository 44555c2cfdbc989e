/** The components of the programs. Each runs while its scope lasts. */
import type { RequestListener } from "node:http"
import { Admission, Server as RpcServer } from "@invoice/adapters/connect"
import {
  InvoiceStore,
  Invoices,
  type InvoiceValidator,
  type MessageConsumer,
  MessagePublisher,
  type Outbox,
  RelayOutbox,
  ValidateInvoices
} from "@invoice/core"
import { Context, Effect, Layer, Schedule, Scope } from "effect"
import * as Auth from "../auth/Auth.ts"
import type { Address, Settings } from "../Config.ts"
import * as BoundedMessages from "../http/BoundedMessages.ts"
import * as Listener from "../http/Listener.ts"
import * as Operations from "../http/Operations.ts"
import * as OriginPolicy from "../http/OriginPolicy.ts"
import * as ReferenceApi from "../http/ReferenceApi.ts"
import * as Server from "../http/Router.ts"
import * as Rpc from "../http/Rpc.ts"
import * as Tls from "../http/Tls.ts"
import * as Application from "../http/v1/Application.ts"
import * as Docs from "../http/v1/Docs.ts"
import { group } from "./Backends.ts"
import { StartupError } from "./StartupError.ts"

/** Listens behind the origin policy; `setting` names the address in an error. */
const listen = (
  settings: Settings,
  setting: string,
  handler: RequestListener,
  options: Omit<Listener.Options, "idleMillis">
): Effect.Effect<string, StartupError, Scope.Scope> =>
  Effect.mapError(
    Listener.listen(OriginPolicy.guard(OriginPolicy.of(settings, options.tls !== undefined), handler), {
      ...options,
      idleMillis: settings.idleTimeoutMillis
    }),
    (error) => new StartupError({ reason: `${setting}: ${error.message}` })
  )

/** What clients may make the process hold: one for all ports and protocols. */
const limitsOf = (settings: Settings, bufferBytes: number, maxAtWork?: number) => {
  const budgets = BoundedMessages.budgets(bufferBytes, maxAtWork)
  return {
    budgets,
    // an answer that its client doesn't read gives its place to a request that waits for one
    inFlight: Admission.make(settings.maxInFlight, "in_flight", () => budgets.sending.makeRoom()),
    watches: Admission.make(settings.maxWatches, "watches"),
    imports: Admission.make(settings.maxImports, "imports")
  }
}

/** How long ports wait for requests in hand: what is stopped after them, such as the store, also takes its time. */
const stopMillisOf = ({ shutdownMillis }: Settings): number => shutdownMillis * 0.9

/** What `storage` holds: messages between our own programs may be 64 times as large as those of clients. */
const internalBufferBytes = 536_870_912

type Urls = Readonly<Record<string, string>>

/**
 * The public API: REST, Connect and gRPC-Web on one port and gRPC on another; or all of it on one port, with TLS or
 * `ONE_PORT=true`.
 */
export const api = (
  settings: Settings,
  checks: Operations.Checks
): Effect.Effect<Urls, StartupError, InvoiceStore | InvoiceValidator | Scope.Scope> =>
  Effect.gen(function* () {
    const health = Operations.healthRoutes(checks)
    const { budgets, ...limits } = limitsOf(settings, settings.httpBufferMegabytes * 1_048_576)
    const stopping = new AbortController()
    const rest = yield* Server.handler(
      { ...(yield* ReferenceApi.routes), ...health, ...Docs.routes() },
      {
        inFlight: limits.inFlight,
        streamed: Application.streamed,
        unlimited: new Set([...Object.keys(health), ...Application.watched, ...Application.streamed]),
        fallback: yield* Application.make({ stopping: stopping.signal, ...limits })
      }
    )
    const rpc = yield* Rpc.make(RpcServer.publicRoutes, { ready: Operations.ready(checks), ...limits }, rest)
    const tls = yield* Tls.load(settings)
    const guarded = (yield* Auth.make(settings))(rpc.handler)
    const onStop = (): void => {
      stopping.abort()
      rpc.onStop()
    }
    const streamed = new Set([...rpc.streamed, ...Application.streamed])
    const options = { tls, budgets, streamed, onStop, stopMillis: stopMillisOf(settings) }
    const onePort = settings.onePort || tls !== undefined
    // all ports stop at the same time
    const ports = yield* Scope.fork(yield* Effect.scope, "parallel")
    const open = (setting: string, address: Address, speaks: Listener.Options["speaks"]) =>
      Scope.provide(listen(settings, setting, guarded, { ...options, address, speaks }), ports)
    const api = yield* open("HTTP_ADDRESS", settings.httpAddress, onePort ? "any" : "http1")
    return onePort ? { api } : { api, grpc: yield* open("GRPC_ADDRESS", settings.grpcAddress, "http2") }
  }).pipe(Effect.provide(Invoices.layer))

/** Serves the store and the outbox to other programs over gRPC, and the reference's storage API to its programs. */
export const storage = (
  settings: Settings,
  checks: Operations.Checks
): Effect.Effect<string, StartupError, InvoiceStore | InvoiceValidator | Outbox | Scope.Scope> =>
  Effect.gen(function* () {
    const { budgets, ...limits } = limitsOf(settings, internalBufferBytes, settings.maxInFlight)
    const { handler, onStop, streamed } = yield* Rpc.make(
      RpcServer.storageRoutes,
      { ready: Operations.ready(checks), ...limits },
      yield* Server.handler({}, { inFlight: limits.inFlight })
    )
    const auth = yield* Auth.make(settings)
    return yield* listen(settings, "GRPC_ADDRESS", auth(handler), {
      tls: yield* Tls.load(settings),
      budgets,
      streamed,
      onStop,
      stopMillis: stopMillisOf(settings),
      address: settings.grpcAddress,
      speaks: "any"
    })
  }).pipe(Effect.provide(Invoices.layer))

/** Metrics, liveness and readiness; answers their URL. */
export const operations = (
  settings: Settings,
  checks: Operations.Checks
): Effect.Effect<string, StartupError, Scope.Scope> =>
  Effect.flatMap(
    Effect.flatMap(Operations.routes(checks), (routes) =>
      Server.handler(routes, { inFlight: Admission.make(100, "in_flight") })
    ),
    (handler) =>
      listen(settings, "METRICS_ADDRESS", handler, {
        address: settings.metricsAddress,
        speaks: "http1",
        stopMillis: 1_000
      })
  )

/**
 * Relays until the scope closes. Answers a readiness check, which fails with what keeps it from relaying.
 *
 * @param owner a name that no other relay has, so that this one takes its own lanes back at once; default a random one
 */
export const relay = (
  settings: Settings,
  owner?: string
): Effect.Effect<Operations.Checks, never, Outbox | MessagePublisher | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      RelayOutbox.layer({
        ...(owner === undefined ? {} : { owner }),
        pageSize: settings.relayPage,
        leaseMillis: settings.leaseMillis,
        idleMillis: settings.idleMillis,
        retryMillis: settings.retryMillis
      })
    )
    const { ready, run } = Context.get(context, RelayOutbox)
    yield* Effect.forkScoped(run)
    return { relay: ready }
  })

/**
 * Validates until the scope closes. Answers a readiness check, which fails with what keeps it from validating. A
 * consumer that gave up is started again.
 */
export const validator = (
  settings: Settings
): Effect.Effect<
  Operations.Checks,
  never,
  InvoiceStore | InvoiceValidator | MessageConsumer | MessagePublisher | Scope.Scope
> =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      ValidateInvoices.layer({
        group,
        concurrency: settings.workers,
        retryMillis: settings.retryMillis,
        maxTries: settings.maxTries,
        finishMillis: settings.shutdownMillis
      })
    )
    const { ready, run } = Context.get(context, ValidateInvoices)
    yield* Effect.forkScoped(Effect.retry(run, Schedule.spaced(`${settings.retryMillis} millis`)))
    return { validator: ready }
  })

export const storeCheck = Effect.map(InvoiceStore, (store): Operations.Checks => ({ store: store.ready }))

export const brokerCheck = Effect.map(MessagePublisher, (publisher): Operations.Checks => ({ broker: publisher.ready }))
