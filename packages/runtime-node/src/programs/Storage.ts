/** `invoice storage`: the store and the outbox on Postgres, for the other programs and for the reference's. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Parts from "./Parts.ts"
import type { Program } from "./Program.ts"
import * as Refusal from "./Refusal.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    yield* Refusal.noStorage("storage", settings)
    const url = yield* Refusal.required("storage", "DATABASE_URL", settings.databaseUrl)
    const context = yield* Layer.build(Layer.mergeAll(Backends.postgres(url, settings), Backends.validator(settings)))
    return yield* Effect.gen(function* () {
      const checks = yield* Parts.storeCheck
      const metrics = yield* Parts.operations(settings, checks)
      return { urls: { grpc: yield* Parts.storage(settings, checks), metrics } }
    }).pipe(Effect.provideContext(context))
  })
