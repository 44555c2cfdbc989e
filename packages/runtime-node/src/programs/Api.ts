/** `invoice api`: REST, Connect and gRPC, on Postgres or a storage program. No broker: the relay publishes events. */
import { Effect, Layer } from "effect"
import * as Auth from "../auth/Auth.ts"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Layers, Program } from "./Program.ts"

export const make = (settings: Settings, layers: Pick<Layers, "store" | "validator"> = {}): Program =>
  Effect.gen(function* () {
    yield* Auth.check(settings)
    const store = layers.store ?? (yield* Backends.store("api", settings))
    const validator = layers.validator ?? (yield* Backends.validator(settings))
    const context = yield* Layer.build(Layer.mergeAll(store, validator))
    return yield* Effect.gen(function* () {
      const checks = yield* Components.storeCheck
      const metrics = yield* Components.operations(settings, checks)
      return { urls: { ...(yield* Components.api(settings, checks)), metrics } }
    }).pipe(Effect.provideContext(context))
  })
