/** What a program shows its operators: metrics, liveness, readiness. */
import { Deadline } from "@invoice/core"
import { Effect, Result } from "effect"
import { HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { collectDefaultMetrics, Registry } from "prom-client"
import * as Problem from "./Problem.ts"
import type { Routes } from "./Router.ts"

/** Readiness checks: a name for people, and an effect that fails with the reason why a program isn't ready. */
export type Checks = Readonly<Record<string, Effect.Effect<void, { readonly message: string }>>>

const health: Routes = {
  "/healthz": {
    GET: () => Effect.succeed(HttpServerResponse.text('{"status":"alive"}', { contentType: "application/json" }))
  }
}

/** Succeeds when every check does; fails with the reasons of those that don't. */
export const ready = (checks: Checks): Effect.Effect<void, Problem.Problem> =>
  Effect.flatMap(
    Effect.forEach(
      Object.entries(checks),
      ([name, check]) =>
        check.pipe(
          (check) =>
            Deadline.within(check, { millis: 2_000, orElse: () => ({ message: "no answer within 2 seconds" }) }),
          Effect.result,
          Effect.map((result) => (Result.isFailure(result) ? [`${name}: ${result.failure.message}`] : []))
        ),
      { concurrency: "unbounded" }
    ),
    (missing) => (missing.flat().length === 0 ? Effect.void : Effect.fail(Problem.notReady(missing.flat())))
  )

const readiness = (checks: Checks): Routes => ({
  "/readyz": {
    GET: () =>
      Effect.as(ready(checks), HttpServerResponse.text('{"status":"ready"}', { contentType: "application/json" }))
  }
})

const metrics = Effect.sync((): Routes => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    "/metrics": {
      GET: () =>
        Effect.zipWith(
          Effect.promise(() => registry.metrics()),
          PrometheusMetrics.format(),
          (process, ours) => HttpServerResponse.text(`${process}\n${ours}`, { contentType: registry.contentType })
        )
    }
  }
})

/** Liveness and readiness, for the port that clients use. */
export const healthRoutes = (checks: Checks): Routes => ({ ...health, ...readiness(checks) })

/** The operators' own port: metrics, liveness and readiness. */
export const routes = (checks: Checks): Effect.Effect<Routes> =>
  Effect.map(metrics, (page) => ({ ...page, ...healthRoutes(checks) }))
