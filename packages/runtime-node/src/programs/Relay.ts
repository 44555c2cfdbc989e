/** `invoice relay`: moves committed events from Postgres to Kafka. Any number may run; one at a time relays a lane. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Layers, Program } from "./Program.ts"

export const make = (settings: Settings, layers: Pick<Layers, "store" | "broker"> = {}): Program =>
  Effect.gen(function* () {
    const store = layers.store ?? (yield* Backends.store("relay", settings))
    const broker = layers.broker ?? (yield* Backends.broker("relay", settings))
    const context = yield* Layer.build(Layer.mergeAll(store, broker))
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      const relay = yield* Components.relay(settings)
      return { urls: { metrics: yield* Components.operations(settings, { ...checks, ...relay }) } }
    }).pipe(Effect.provideContext(context))
  })
