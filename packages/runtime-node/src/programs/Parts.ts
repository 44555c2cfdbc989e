/** The parts that programs are made of, each running while its scope lasts. */
import { InvoiceStore, Invoices, MessagePublisher, RelayOutbox, ValidateInvoices } from "@invoice/core"
import { Effect, Schedule, type Scope } from "effect"
import type { HttpServerError } from "effect/http"
import type { Settings } from "../Config.ts"
import * as LegacyApi from "../http/LegacyApi.ts"
import * as Operations from "../http/Operations.ts"
import * as Server from "../http/Server.ts"
import { group } from "./Backends.ts"
import { Refusal } from "./Refusal.ts"

const cannotListen =
  (setting: string) =>
  (error: HttpServerError.ServeError): Refusal =>
    new Refusal({
      reason: `${setting}: can't listen: ${error.cause instanceof Error ? error.cause.message : String(error.cause)}`
    })

/** The REST API; answers its URL. */
export const api = (
  settings: Settings,
  checks: Operations.Checks
): Effect.Effect<string, Refusal, InvoiceStore | Scope.Scope> =>
  Effect.flatMap(Effect.provide(LegacyApi.routes, Invoices.layer), (routes) =>
    Server.listen(
      { ...routes, ...Operations.healthRoutes(checks) },
      { address: settings.httpAddress, stopMillis: settings.shutdownMillis, maxInFlight: settings.maxInFlight }
    )
  ).pipe(Effect.mapError(cannotListen("HTTP_ADDRESS")))

/** Metrics, liveness and readiness; answers their URL. */
export const operations = (
  settings: Settings,
  checks: Operations.Checks
): Effect.Effect<string, Refusal, Scope.Scope> =>
  Effect.flatMap(Operations.routes(checks), (routes) =>
    Server.listen(routes, { address: settings.metricsAddress, stopMillis: 1_000, maxInFlight: 100 })
  ).pipe(Effect.mapError(cannotListen("METRICS_ADDRESS")))

/**
 * Relays until the scope closes.
 *
 * @param owner who this relay is, when it is known to be the only one of that name: it takes its own lane back at once
 */
export const relay = (settings: Settings, owner?: string) =>
  Effect.flatMap(RelayOutbox, ({ run }) => run).pipe(
    Effect.provide(
      RelayOutbox.layer({
        ...(owner === undefined ? {} : { owner }),
        pageSize: settings.relayPage,
        leaseMillis: settings.leaseMillis,
        idleMillis: settings.idleMillis,
        retryMillis: settings.retryMillis
      })
    ),
    Effect.forkScoped
  )

/** Validates until the scope closes; a consumer that gave up is started again. */
export const validator = (settings: Settings) =>
  Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
    Effect.retry(Schedule.spaced(`${settings.retryMillis} millis`)),
    Effect.provide(
      ValidateInvoices.layer({
        group,
        concurrency: settings.workers,
        retryMillis: settings.retryMillis,
        maxTries: settings.maxTries,
        finishMillis: settings.shutdownMillis
      })
    ),
    Effect.forkScoped
  )

export const storeCheck = Effect.map(InvoiceStore, (store): Operations.Checks => ({ store: store.ready }))

export const brokerCheck = Effect.map(MessagePublisher, (publisher): Operations.Checks => ({ broker: publisher.ready }))
