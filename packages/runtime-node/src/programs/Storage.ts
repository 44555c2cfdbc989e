/** `invoice storage`: the store and the outbox on Postgres, for the other programs and for the reference's. */
import { Effect, Layer } from "effect"
import * as Auth from "../auth/Auth.ts"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Layers, Program } from "./Program.ts"

export const make = (settings: Settings, layers: Pick<Layers, "store" | "validator"> = {}): Program =>
  Effect.gen(function* () {
    yield* Auth.check(settings)
    const store = layers.store ?? (yield* Backends.ownStore("storage", settings))
    const validator = layers.validator ?? (yield* Backends.validator(settings))
    const context = yield* Layer.build(Layer.mergeAll(store, validator))
    return yield* Effect.gen(function* () {
      const checks = yield* Components.storeCheck
      const metrics = yield* Components.operations(settings, checks)
      return { urls: { grpc: yield* Components.storage(settings, checks), metrics } }
    }).pipe(Effect.provideContext(context))
  })
