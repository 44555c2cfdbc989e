/** What a program serves over RPC, as routes for a Connect router: services, health and reflection. */
import type { DescService } from "@bufbuild/protobuf"
import type { ConnectRouter } from "@connectrpc/connect"
import type { InvoiceStore, Invoices, Outbox } from "@invoice/core"
import { Effect } from "effect"
import { Health as HealthService } from "./gen/grpc/health/v1/health_pb.ts"
import { ServerReflection } from "./gen/grpc/reflection/v1/reflection_pb.ts"
import { ServerReflection as ServerReflectionAlpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.ts"
import { InvoiceService } from "./gen/invoice/v1/invoice_service_pb.ts"
import { InvoiceStoreService } from "./gen/invoice/v1/invoice_store_service_pb.ts"
import { OutboxService } from "./gen/invoice/v1/outbox_service_pb.ts"
import { InvoiceStorage as ApiStorage } from "./gen/protocol/api_service/storage/storage_pb.ts"
import { InvoiceStorage as ValidationStorage } from "./gen/protocol/validation/storage/storage_pb.ts"
import * as Health from "./Health.ts"
import * as InputFaults from "./InputFaults.ts"
import * as InvoiceServer from "./InvoiceServer.ts"
import * as InvoiceStoreServer from "./InvoiceStoreServer.ts"
import * as OutboxServer from "./OutboxServer.ts"
import * as ReferenceServer from "./ReferenceServer.ts"
import * as Reflection from "./Reflection.ts"
import * as ServerCalls from "./ServerCalls.ts"

export { allowance, principal, turn, whenSent } from "./ServerCalls.ts"

export interface Options extends ServerCalls.Options {
  /** Succeeds while calls can be taken; the health service reports it. */
  readonly ready: Effect.Effect<void, unknown>
}

export type Routes = (router: ConnectRouter) => void

const together =
  (routes: ReadonlyArray<Routes>): Routes =>
  (router) => {
    const gated = InputFaults.gated(router)
    for (const route of routes) route(gated)
  }

/** Calls of the health service have a budget of their own, so that they are answered however many others are in hand. */
const healthCalls = ({ stopping }: Omit<Options, "ready">): Effect.Effect<ServerCalls.ServerCalls> =>
  ServerCalls.make(stopping === undefined ? {} : { stopping })

const publicServices = [InvoiceService, HealthService]

/** For everyone: `InvoiceService`, health and reflection. */
export const publicRoutes = ({ ready, ...options }: Options): Effect.Effect<Routes, never, Invoices> =>
  Effect.gen(function* () {
    const calls = yield* ServerCalls.make(options)
    return together([
      yield* InvoiceServer.routes(calls),
      Health.routes(yield* healthCalls(options), { ready, services: publicServices.map(({ typeName }) => typeName) }),
      Reflection.routes(publicServices)
    ])
  })

/** Every service that a program may serve. */
export const services: ReadonlyArray<DescService> = [
  InvoiceService,
  InvoiceStoreService,
  OutboxService,
  ApiStorage,
  ValidationStorage,
  HealthService,
  ServerReflection,
  ServerReflectionAlpha
]

const internalServices = [...publicServices, InvoiceStoreService, OutboxService, ApiStorage, ValidationStorage]

/** For our own programs and the reference's: all of the above, the ports, and the reference's storage services. */
export const storageRoutes = ({
  ready,
  ...options
}: Options): Effect.Effect<Routes, never, Invoices | InvoiceStore | Outbox> =>
  Effect.gen(function* () {
    const calls = yield* ServerCalls.make(options)
    return together([
      yield* InvoiceServer.routes(calls),
      yield* InvoiceStoreServer.routes(calls),
      yield* OutboxServer.routes(calls),
      yield* ReferenceServer.routes(calls),
      Health.routes(yield* healthCalls(options), { ready, services: internalServices.map(({ typeName }) => typeName) }),
      Reflection.routes(internalServices)
    ])
  })
