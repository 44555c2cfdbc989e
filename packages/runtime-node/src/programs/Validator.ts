/** `invoice validator`: judges new invoices. Any number may run; they share the partitions. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Program } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    const store = yield* Backends.store("validator", settings)
    const brokers = yield* StartupError.required("validator", "KAFKA_BROKERS", settings.kafkaBrokers)
    const context = yield* Layer.build(
      Layer.mergeAll(store, Backends.kafka(brokers, settings), Backends.validator(settings))
    )
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      const validator = yield* Components.validator(settings)
      return { urls: { metrics: yield* Components.operations(settings, { ...checks, ...validator }) } }
    }).pipe(Effect.provideContext(context))
  })
