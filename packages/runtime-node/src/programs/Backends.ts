/** The adapters behind the ports, chosen by the settings. */
import { OutboxClient, StoreClient } from "@invoice/adapters/connect"
import { grpcTransport } from "@invoice/adapters/connect/node"
import { KafkaConsumer, KafkaPublisher, KafkaReader } from "@invoice/adapters/kafka"
import { Broker } from "@invoice/adapters/memory"
import { Migrations, PostgresOutbox, PostgresStore } from "@invoice/adapters/postgres"
import {
  DeadLetter,
  DeadLetters,
  InvoiceEvent,
  type InvoiceStore,
  type InvoiceValidator,
  type MessageConsumer,
  type MessagePublisher,
  type Outbox,
  Profile,
  ProfileValidator,
  SimulatedValidator
} from "@invoice/core"
import { type Context, Effect, Layer, Option, type Redacted, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import * as StorageToken from "../auth/StorageToken.ts"
import type { Settings } from "../Config.ts"
import * as ProfileModule from "./ProfileModule.ts"
import { noStorage, required, StartupError } from "./StartupError.ts"

/** The consumer group of every validator, as in the reference. */
export const group = "validation-service"

const pipelineTopics = [...Object.values(InvoiceEvent.topics), DeadLetter.topicOf(InvoiceEvent.topics.Pending)]

/** Brings the schema up to date; waits up to a minute for a database that isn't there yet. */
export const migrate = (url: Redacted.Redacted): Effect.Effect<void, StartupError> =>
  Effect.scoped(Layer.build(Migrations.layer({ url }))).pipe(
    Effect.tapError((error) =>
      Effect.logWarning("migrations not run yet").pipe(Effect.annotateLogs({ error: error.message }))
    ),
    Effect.retry(
      Schedule.spaced("1 second").pipe(
        Schedule.upTo({ times: 60 }),
        Schedule.setInputType<Migrations.Failure>(),
        Schedule.while(({ input }) => input._tag === "SqlError" && input.isRetryable)
      )
    ),
    Effect.mapError(
      (error) => new StartupError({ reason: `DATABASE_URL: can't bring the schema up to date: ${error.message}` })
    ),
    Effect.asVoid
  )

/** Postgres, with its schema up to date. */
export const postgres = (
  url: Redacted.Redacted,
  settings: Settings
): Layer.Layer<InvoiceStore | Outbox, SqlError.SqlError | StartupError> =>
  Layer.mergeAll(
    PostgresStore.layer({
      url,
      maxConnections: settings.databaseConnections,
      timeoutMillis: settings.databaseTimeoutMillis,
      outboxRetentionMillis: settings.outboxRetentionHours * 3_600_000
    }),
    PostgresOutbox.layer({ url, timeoutMillis: settings.databaseTimeoutMillis })
  ).pipe(Layer.provide(Layer.effectDiscard(migrate(url))))

/** How often it is logged that a storage program refuses us, at most. */
const refusedLogMillis = 10_000

/** The log is the only place that says it: to clients the store is unavailable. */
const refusedLog = Effect.contextWith((context: Context.Context<never>) => {
  let loggedAt = Number.NEGATIVE_INFINITY
  return Effect.succeed((reason: string): void => {
    if (performance.now() - loggedAt < refusedLogMillis) return
    loggedAt = performance.now()
    Effect.runForkWith(context)(
      Effect.annotateLogs(
        Effect.logError("STORAGE_ADDRESS refuses us: see STORAGE_TOKEN, which needs the scope internal"),
        {
          reason
        }
      )
    )
  })
})

/** The ports of the storage program, which need not be available when this program starts. */
const remote = (
  address: string,
  settings: Settings,
  token: StorageToken.StorageToken | undefined
): Layer.Layer<InvoiceStore | Outbox> => {
  const options = { timeoutMillis: settings.storageTimeoutMillis }
  const baseUrl = address.includes("://") ? address : `http://${address}`
  return Layer.unwrap(
    Effect.map(
      Effect.flatMap(refusedLog, (onRefused) => grpcTransport({ baseUrl, token, onRefused })),
      (transport) => Layer.mergeAll(StoreClient.layer(transport, options), OutboxClient.layer(transport, options))
    )
  )
}

/** The store of a program: the storage program when `STORAGE_ADDRESS` is set, else Postgres. */
export const store = (
  program: string,
  settings: Settings
): Effect.Effect<Layer.Layer<InvoiceStore | Outbox, SqlError.SqlError | StartupError>, StartupError> =>
  Option.match(settings.storageAddress, {
    onNone: () => Effect.map(required(program, "DATABASE_URL", settings.databaseUrl), (url) => postgres(url, settings)),
    onSome: (address) =>
      Option.isSome(settings.databaseUrl)
        ? Effect.fail(new StartupError({ reason: "STORAGE_ADDRESS and DATABASE_URL are both set: unset one of them" }))
        : Effect.map(StorageToken.load(settings), (token) => remote(address, settings, token))
  })

/** The store of a program that keeps invoices for others: Postgres, never another storage program. */
export const ownStore = (
  program: string,
  settings: Settings
): Effect.Effect<Layer.Layer<InvoiceStore | Outbox, SqlError.SqlError | StartupError>, StartupError> =>
  Effect.andThen(
    noStorage(program, settings),
    Effect.map(required(program, "DATABASE_URL", settings.databaseUrl), (url) => postgres(url, settings))
  )

/** Kafka, which need not be available when this program starts. */
export const kafka = (
  brokers: ReadonlyArray<string>,
  settings: Settings
): Layer.Layer<MessagePublisher | MessageConsumer> => {
  const options = {
    brokers,
    partitions: settings.kafkaPartitions,
    ...Option.match(settings.kafkaReplication, { onNone: () => ({}), onSome: (replication) => ({ replication }) })
  }
  return Layer.mergeAll(
    KafkaPublisher.layer({ ...options, topics: pipelineTopics }),
    KafkaConsumer.layer({
      ...options,
      concurrency: settings.workers,
      maxWait: `${settings.kafkaPollMillis} millis`,
      sessionTimeout: `${settings.kafkaSessionMillis} millis`
    })
  )
}

/** The broker of a program that can't do without one. */
export const broker = (
  program: string,
  settings: Settings
): Effect.Effect<Layer.Layer<MessagePublisher | MessageConsumer>, StartupError> =>
  Effect.map(required(program, "KAFKA_BROKERS", settings.kafkaBrokers), (brokers) => kafka(brokers, settings))

/** Reads dead letters and sends them again. */
export const deadLetters = (brokers: ReadonlyArray<string>): Layer.Layer<DeadLetters> =>
  DeadLetters.layer.pipe(
    Layer.provide(Layer.mergeAll(KafkaReader.layer({ brokers }), KafkaPublisher.layer({ brokers, topics: [] })))
  )

/** The broker within this process: publishing waits for the validator, so durability stays with the outbox. */
export const inProcess: Layer.Layer<MessagePublisher | MessageConsumer> = Broker.layer({
  groups: [{ topic: InvoiceEvent.topics.Pending, group }]
})

/** What judges invoices: the profile that `VALIDATOR_PROFILE` names, else what `VALIDATOR` selects. */
export const validator = (settings: Settings): Effect.Effect<Layer.Layer<InvoiceValidator>, StartupError> => {
  const simulated = settings.validator === "simulated"
  return Option.match(settings.profile, {
    onNone: () =>
      Effect.succeed(
        simulated ? SimulatedValidator.layer({ seed: settings.simulatedSeed }) : ProfileValidator.layer(Profile.core)
      ),
    onSome: (path) =>
      simulated
        ? Effect.fail(new StartupError({ reason: "VALIDATOR=simulated and VALIDATOR_PROFILE are both set: unset one" }))
        : Effect.map(ProfileModule.load(path), ProfileValidator.layer)
  })
}
