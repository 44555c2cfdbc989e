import { Effect, Schedule } from "effect"
import { bounded, type Connection, call, make } from "./Client.ts"
import type { AdminClient, KafkaClient } from "./KafkaClient.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"

/** What a topic gets when it is created. */
export interface TopicOptions {
  /** Default 6. */
  readonly partitions?: number
  /** 3 where the cluster has 3 brokers, default else 1. */
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
 * The broker stamps the records. By default the producer's clock does, and one that is an hour ahead has all it sends
 * refused (`message.timestamp.after.max.ms`).
 */
const configEntries = [{ name: "message.timestamp.type", value: "LogAppendTime" }] as const

/**
 * Asked by its name: a look at all topics fails when any of them, whosever it is, has a partition without leader. So
 * whether this one has all its leaders is not asked.
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
 * The leaders of a new topic are known before they have made all of its partitions; what is sent to it meanwhile is taken
 * in part, and comes twice. So all of them are asked for an offset. Whoever can't be had after 5 s is waited for by no one.
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
