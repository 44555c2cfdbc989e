/** `invoice validator`: judges new invoices. Any number may run; they share the partitions. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Parts from "./Parts.ts"
import type { Program } from "./Program.ts"
import * as Refusal from "./Refusal.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    const store = yield* Backends.store("validator", settings)
    const brokers = yield* Refusal.required("validator", "KAFKA_BROKERS", settings.kafkaBrokers)
    const context = yield* Layer.build(
      Layer.mergeAll(store, Backends.kafka(brokers, settings), Backends.validator(settings))
    )
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Parts.storeCheck), ...(yield* Parts.brokerCheck) }
      const validator = yield* Parts.validator(settings)
      return { urls: { metrics: yield* Parts.operations(settings, { ...checks, ...validator }) } }
    }).pipe(Effect.provideContext(context))
  })
