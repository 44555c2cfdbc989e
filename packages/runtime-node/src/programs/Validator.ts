/** `invoice validator`: judges new invoices. Any number may run; they share the partitions. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Layers, Program } from "./Program.ts"

export const make = (settings: Settings, layers: Layers = {}): Program =>
  Effect.gen(function* () {
    const store = layers.store ?? (yield* Backends.store("validator", settings))
    const broker = layers.broker ?? (yield* Backends.broker("validator", settings))
    const validator = layers.validator ?? (yield* Backends.validator(settings))
    const context = yield* Layer.build(Layer.mergeAll(store, broker, validator))
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      const validator = yield* Components.validator(settings)
      return { urls: { metrics: yield* Components.operations(settings, { ...checks, ...validator }) } }
    }).pipe(Effect.provideContext(context))
  })
