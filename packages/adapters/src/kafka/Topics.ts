import { Effect, Schedule } from "effect"
import { bounded, type Connection, call, make } from "./Client.ts"
import type { AdminClient, KafkaClient } from "./KafkaClient.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"

/** What a topic gets when it is created. */
export interface TopicOptions {
  /** Number of partitions; default 6. */
  readonly partitions?: number
  /** Number of replicas; default 3 where the cluster has at least 3 brokers, else 1. */
  readonly replication?: number
}

/** How long an admin connection may take to close. */
const closing = "2 seconds"

/** Runs with an admin connection of its own. */
export const withAdmin = <Client extends AdminClient, A>(
  kafka: { readonly admin: () => Client },
  use: (admin: Client) => Effect.Effect<A, KafkaFailure>
): Effect.Effect<A, KafkaFailure> =>
  Effect.acquireUseRelease(
    Effect.sync(() => kafka.admin()),
    (admin) =>
      Effect.andThen(
        call(() => admin.connect()),
        use(admin)
      ),
    (admin) =>
      bounded(
        call(() => admin.disconnect()),
        closing
      )
  )

/**
 * The broker stamps the records with its own clock. By default the producer does, and a producer whose clock is an hour
 * ahead has all its records refused (`message.timestamp.after.max.ms`).
 */
const configEntries = [{ name: "message.timestamp.type", value: "LogAppendTime" }] as const

/**
 * Asks for the topic by its name: a look at all topics fails when any of them, also one of another application, has a
 * partition without a leader. A topic that itself lacks a leader exists.
 */
export const exists = (admin: AdminClient, topic: string): Effect.Effect<boolean, KafkaFailure> =>
  call(() => admin.fetchTopicMetadata({ topics: [topic] })).pipe(
    Effect.as(true),
    Effect.catchIf(
      ({ type }) => type === "UNKNOWN_TOPIC_OR_PARTITION" || type === "LEADER_NOT_AVAILABLE",
      ({ type }) => Effect.succeed(type === "LEADER_NOT_AVAILABLE")
    )
  )

/**
 * Waits until a new topic is served, for at most 5 s. Its leaders are known before they have made all of its
 * partitions; a send in the meantime is taken in part, and its repetition brings records twice. So every partition is
 * asked for its offset.
 */
const isServed = (admin: AdminClient, topic: string): Effect.Effect<void> =>
  call(() => admin.fetchTopicOffsets(topic)).pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeoutOption("5 seconds"),
    Effect.ignore
  )

/** Creates the topics that are missing and waits for their leaders; an existing topic is left alone. */
export const ensure = (
  kafka: KafkaClient,
  topics: Iterable<string>,
  options: TopicOptions
): Effect.Effect<void, KafkaFailure> =>
  withAdmin(kafka, (admin) =>
    Effect.gen(function* () {
      const missing: Array<string> = []
      for (const topic of new Set(topics)) if (!(yield* exists(admin, topic))) missing.push(topic)
      if (missing.length === 0) return
      const { brokers } = yield* call(() => admin.describeCluster())
      const replicationFactor = options.replication ?? (brokers.length >= 3 ? 3 : 1)
      yield* call(() =>
        admin.createTopics({
          topics: missing.map((topic) => ({
            topic,
            numPartitions: options.partitions ?? 6,
            replicationFactor,
            configEntries: [...configEntries]
          }))
        })
      )
      for (const topic of missing) yield* isServed(admin, topic)
    })
  )

/** Creates the topics that are missing; fails when the cluster can't be reached or refuses. */
export const ensureTopics = (
  options: Connection & TopicOptions,
  topics: ReadonlyArray<string>
): Effect.Effect<void, KafkaFailure> => Effect.flatMap(make(options), (kafka) => ensure(kafka, topics, options))
