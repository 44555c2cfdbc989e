/** `invoice relay`: moves committed events from Postgres to Kafka. Any number may run; one at a time relays. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Program } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    const store = yield* Backends.store("relay", settings)
    const brokers = yield* StartupError.required("relay", "KAFKA_BROKERS", settings.kafkaBrokers)
    const context = yield* Layer.build(Layer.mergeAll(store, Backends.kafka(brokers, settings)))
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      const relay = yield* Components.relay(settings)
      return { urls: { metrics: yield* Components.operations(settings, { ...checks, ...relay }) } }
    }).pipe(Effect.provideContext(context))
  })
