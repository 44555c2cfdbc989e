/** `invoice up`: everything in one process, on an embedded Postgres and an in-process broker unless told otherwise. */
import { Effect, Layer, Option, type Redacted, type Scope } from "effect"
import type { Settings } from "../Config.ts"
import * as DataDirectory from "../DataDirectory.ts"
import * as EmbeddedPostgres from "../EmbeddedPostgres.ts"
import * as Backends from "./Backends.ts"
import * as Components from "./Components.ts"
import type { Program } from "./Program.ts"
import * as StartupError from "./StartupError.ts"

interface Database {
  readonly url: Redacted.Redacted
  /** For the line that says that the program is ready. */
  readonly note: string
}

const embedded = ({
  dataDir
}: Settings): Effect.Effect<Database, EmbeddedPostgres.EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const options: DataDirectory.Options = Option.match(dataDir, {
      onNone: () => ({ dataDir: ".data", fallback: DataDirectory.ofSystem(".data") }),
      onSome: (dataDir) => ({ dataDir })
    })
    const server = yield* EmbeddedPostgres.make(options)
    const moved = server.dataDir === options.fallback
    return {
      url: server.url,
      note: `embedded Postgres in ${moved ? `${server.dataDir}, where user postgres can reach it` : options.dataDir}`
    }
  })

export const make = (settings: Settings): Program =>
  Effect.gen(function* () {
    yield* StartupError.noStorage("up", settings)
    const { note, url } = Option.isSome(settings.databaseUrl)
      ? { url: settings.databaseUrl.value, note: "Postgres" }
      : yield* embedded(settings)
    const broker = Option.match(settings.kafkaBrokers, {
      onNone: () => Backends.inProcess,
      onSome: (brokers) => Backends.kafka(brokers, settings)
    })
    const context = yield* Layer.build(
      Layer.mergeAll(Backends.postgres(url, settings), broker, Backends.validator(settings))
    )
    return yield* Effect.gen(function* () {
      const checks = { ...(yield* Components.storeCheck), ...(yield* Components.brokerCheck) }
      // stopped in the other order: requests first, then the relay, then the validator it hands to
      const validator = yield* Components.validator(settings)
      // the lock on the data directory says that a relay of an earlier run is gone, so its lease needn't run out
      const relay = yield* Components.relay(settings, Option.isSome(settings.databaseUrl) ? undefined : "up")
      const metrics = yield* Components.operations(settings, { ...checks, ...relay, ...validator })
      const api = yield* Components.api(settings, checks)
      const messages = Option.isSome(settings.kafkaBrokers) ? "Kafka" : "in-process broker"
      return { urls: { ...api, metrics }, note: `${note}, ${messages}` }
    }).pipe(Effect.provideContext(context))
  })
