/** `invoice up`: everything in one process, on an embedded Postgres and an in-process broker unless told otherwise. */
import { Effect, Layer, Option } from "effect"
import type { Settings } from "../Config.ts"
import * as EmbeddedPostgres from "../EmbeddedPostgres.ts"
import * as Backends from "./Backends.ts"
import * as Parts from "./Parts.ts"
import type { Program } from "./Program.ts"
import * as Refusal from "./Refusal.ts"

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    yield* Refusal.noStorage("up", settings)
    const url = Option.isSome(settings.databaseUrl)
      ? settings.databaseUrl.value
      : (yield* EmbeddedPostgres.make({ dataDir: settings.dataDir })).url
    const broker = Option.match(settings.kafkaBrokers, {
      onNone: () => Backends.inProcess,
      onSome: (brokers) => Backends.kafka(brokers, settings)
    })
    const context = yield* Layer.build(
      Layer.mergeAll(Backends.postgres(url, settings), broker, Backends.validator(settings))
    )
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Parts.storeCheck), ...(yield* Parts.brokerCheck) }
      // stopped in the other order: requests first, then the relay, then the validator it hands to
      const validator = yield* Parts.validator(settings)
      // the lock on the data directory says that a relay of an earlier run is gone, so its lease needn't run out
      const relay = yield* Parts.relay(settings, Option.isSome(settings.databaseUrl) ? undefined : "up")
      const metrics = yield* Parts.operations(settings, { ...checks, ...relay, ...validator })
      const api = yield* Parts.api(settings, checks)
      const database = Option.isSome(settings.databaseUrl) ? "Postgres" : `embedded Postgres in ${settings.dataDir}`
      const messages = Option.isSome(settings.kafkaBrokers) ? "Kafka" : "in-process broker"
      return { urls: { ...api, metrics }, note: `${database}, ${messages}` }
    }).pipe(Effect.provideContext(context))
  })
