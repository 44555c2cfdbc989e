/** Logs to standard output, and traces, metrics and logs to an OpenTelemetry collector when there is one. */
import { Effect, Layer, Logger, Option, Predicate, References } from "effect"
import { FetchHttpClient, HttpMiddleware } from "effect/http"
import { Otlp } from "effect/observability"
import * as BoundedLog from "./BoundedLog.ts"
import type { Settings } from "./Config.ts"
import { isLoopback } from "./Loopback.ts"

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

const openWarning = (settings: Settings): string | undefined => {
  const { auth, httpAddress, tlsCert } = settings
  if (auth === "off") return "AUTH=off: everybody who reaches the ports gets in"
  return auth === "jwt" && Option.isNone(tlsCert) && !isLoopback(httpAddress.host)
    ? "tokens arrive unencrypted on HTTP_ADDRESS: set TLS_CERT and TLS_KEY, or let nothing but a proxy with TLS reach it"
    : undefined
}

const tokenWarning = ({ storageAddress, storageToken, storageTokenFile }: Settings): string | undefined => {
  const address = Option.getOrElse(storageAddress, () => "")
  const host = address.replace(/^http:\/\//u, "").replace(/:\d+$/u, "")
  return (Option.isSome(storageToken) || Option.isSome(storageTokenFile)) &&
    !address.startsWith("https://") &&
    !isLoopback(host)
    ? "STORAGE_TOKEN is sent unencrypted to STORAGE_ADDRESS: use https://, or a network that you trust"
    : undefined
}

const keyWarning = ({ auth, jwtPrivateKey }: Settings): string | undefined =>
  Option.isSome(jwtPrivateKey) && auth !== "jwt"
    ? "JWT_PRIVATE_KEY is set, but only `invoice token` uses it: nobody is authenticated"
    : undefined

/** Warns once of settings that leave a program more open than its owner may believe. */
export const warnings = (settings: Settings): Effect.Effect<void> =>
  Effect.forEach(
    [openWarning(settings), tokenWarning(settings), keyWarning(settings)].filter(Predicate.isNotUndefined),
    (warning) => Effect.logWarning(warning),
    { discard: true }
  )
