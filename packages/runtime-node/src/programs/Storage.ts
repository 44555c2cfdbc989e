/** `invoice storage`: the store and the outbox on Postgres, for the other programs and for the reference's. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Program } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    yield* StartupError.noStorage("storage", settings)
    const url = yield* StartupError.required("storage", "DATABASE_URL", settings.databaseUrl)
    const context = yield* Layer.build(Layer.mergeAll(Backends.postgres(url, settings), Backends.validator(settings)))
    return yield* Effect.gen(function* () {
      const checks = yield* Components.storeCheck
      const metrics = yield* Components.operations(settings, checks)
      return { urls: { grpc: yield* Components.storage(settings, checks), metrics } }
    }).pipe(Effect.provideContext(context))
  })
