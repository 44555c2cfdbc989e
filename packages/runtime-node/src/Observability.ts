/** Logs to standard output, and traces, metrics and logs to an OpenTelemetry collector when there is one. */
import { Effect, Layer, Logger, Option, References } from "effect"
import { FetchHttpClient, HttpMiddleware } from "effect/http"
import { Otlp } from "effect/observability"
import * as BoundedLog from "./BoundedLog.ts"
import type { Settings } from "./Config.ts"

const levels = { debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const

const baseUrl = (collector: string): string => (collector.includes("://") ? collector : `http://${collector}`)

/** @param program the service's name at the collector */
export const layer = (settings: Settings, program: string): Layer.Layer<never> => {
  const format = Option.getOrElse(settings.logFormat, () => (process.stdout.isTTY ? "pretty" : "json"))
  const logs = Layer.mergeAll(
    Logger.layer([format === "json" ? BoundedLog.consoleJson : Logger.consolePretty()]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.logLevel])
  )
  return Option.match(settings.otelCollector, {
    // without a collector a span only costs time
    onNone: () =>
      Layer.merge(
        logs,
        Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => true)
      ),
    onSome: (collector) =>
      Otlp.layerJson({
        baseUrl: baseUrl(collector),
        resource: { serviceName: `invoice-${program}` },
        loggerMergeWithExisting: true
      }).pipe(Layer.provide(FetchHttpClient.layer), Layer.provideMerge(logs), Layer.orDie)
  })
}

/** Warns once when a setting of the reference is set that has no effect here. */
export const warnings = (settings: Settings): Effect.Effect<void> =>
  Option.isSome(settings.jwtPrivateKey)
    ? Effect.logWarning("JWT_PRIVATE_KEY is set, but this version authenticates nobody")
    : Effect.void
