/** `invoice up`: everything in one process; by default on an embedded Postgres and an in-process broker. */
import type { InvoiceStore, MessageConsumer, MessagePublisher, Outbox } from "@invoice/core"
import { Effect, Layer, Option, type Scope } from "effect"
import * as Auth from "../auth/Auth.ts"
import type { Settings } from "../Config.ts"
import * as DataDirectory from "../embedded/DataDirectory.ts"
import * as EmbeddedPostgres from "../embedded/EmbeddedPostgres.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Layers, Program, Ready } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

/** A backend, and its name for the line that says that the program is ready. */
interface Named<A> {
  readonly layer: Layer.Layer<A, Error>
  readonly note: string
}

interface NamedStore extends Named<InvoiceStore | Outbox> {
  /** The relay's name when no other process can relay: after a restart it needn't wait for its own lease to end. */
  readonly owner?: string
  /** Fails when the store is gone for good. */
  readonly lost?: Ready["lost"]
}

const store = (
  settings: Settings,
  layers: Layers
): Effect.Effect<NamedStore, EmbeddedPostgres.EmbeddedPostgresError, Scope.Scope> => {
  if (layers.store !== undefined) return Effect.succeed({ layer: layers.store, note: "a store of its own" })
  return Option.match(settings.databaseUrl, {
    onNone: () => embedded(settings),
    onSome: (url) => Effect.succeed({ layer: Backends.postgres(url, settings), note: "Postgres" })
  })
}

const embedded = (settings: Settings): Effect.Effect<NamedStore, EmbeddedPostgres.EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const options: DataDirectory.Options = Option.match(settings.dataDir, {
      onNone: () => ({ dataDir: ".data", fallback: DataDirectory.ofSystem(".data") }),
      onSome: (dataDir) => ({ dataDir })
    })
    const { dataDir, lost, url } = yield* EmbeddedPostgres.make(options)
    const place = dataDir === options.fallback ? `${dataDir}, where user postgres can reach it` : options.dataDir
    return {
      layer: Backends.postgres(url, settings),
      note: `embedded Postgres in ${place}`,
      // the lock on the data directory proves that the relay of an earlier run is gone
      owner: "up",
      lost
    }
  })

const broker = (settings: Settings, layers: Layers): Named<MessagePublisher | MessageConsumer> =>
  layers.broker === undefined
    ? Option.match(settings.kafkaBrokers, {
        onNone: () => ({ layer: Backends.inProcess, note: "in-process broker" }),
        onSome: (brokers) => ({ layer: Backends.kafka(brokers, settings), note: "Kafka" })
      })
    : { layer: layers.broker, note: "a broker of its own" }

export const make = (settings: Settings, layers: Layers = {}): Program =>
  Effect.gen(function* () {
    yield* StartupError.noStorage("up", settings)
    yield* Auth.check(settings)
    const storing = yield* store(settings, layers)
    const messaging = broker(settings, layers)
    const judging = layers.validator ?? (yield* Backends.validator(settings))
    const context = yield* Layer.build(Layer.mergeAll(storing.layer, messaging.layer, judging))
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      // a stop goes in reverse order: first the API, then the relay, last the validator, to which the relay publishes
      const validator = yield* Components.validator(settings)
      const relay = yield* Components.relay(settings, storing.owner)
      const metrics = yield* Components.operations(settings, { ...checks, ...relay, ...validator })
      const api = yield* Components.api(settings, checks)
      const ready: Ready = { urls: { ...api, metrics }, note: `${storing.note}, ${messaging.note}` }
      return storing.lost === undefined ? ready : { ...ready, lost: storing.lost }
    }).pipe(Effect.provideContext(context))
  })
