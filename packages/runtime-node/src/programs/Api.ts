/** `invoice api`: REST on Postgres. Needs no broker: its events leave through the outbox. */
import { Effect, Layer } from "effect"
import type { Settings } from "../Config.ts"
import * as Backends from "./Backends.ts"
import * as Parts from "./Parts.ts"
import type { Program } from "./Program.ts"
import * as Refusal from "./Refusal.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    const url = yield* Refusal.required("api", "DATABASE_URL", settings.databaseUrl)
    const context = yield* Layer.build(Backends.postgres(url, settings))
    return yield* Effect.gen(function* () {
      const checks = yield* Parts.storeCheck
      const metrics = yield* Parts.operations(settings, checks)
      return { urls: { api: yield* Parts.api(settings, checks), metrics } }
    }).pipe(Effect.provideContext(context))
  })
