/**
 * `MessagePublisher` over Kafka: idempotent, acknowledged by all replicas, one send at a time. A publish succeeds when
 * the brokers' answers name every partition that was given records.
 */
import { PublishTransient } from "@invoice/core/InvoiceError"
import { topics as pipelineTopics } from "@invoice/core/InvoiceEvent"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { type Duration, Effect, Layer, Schedule, type Scope, Semaphore } from "effect"
import { type Connection, call, make, millis } from "./Client.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { explain } from "./MissingRight.ts"
import { type Parts, Publication } from "./Publication.ts"
import { sizeOf } from "./Records.ts"
import { batchOverhead, type Indexed } from "./Runs.ts"
import { Sender } from "./Sender.ts"
import { TopicLimits } from "./TopicLimits.ts"
import { ensure, type TopicOptions, withAdmin } from "./Topics.ts"

/** Publisher options that hold for every Kafka client. */
export interface PublisherOptions extends TopicOptions {
  /** Topics to create at start if missing; default the pipeline's. Others are created at their first message. */
  readonly topics?: ReadonlyArray<string>
  /**
   * Maximum number of bytes of a send; default 900,000. Not more than the brokers' `message.max.bytes` (1,048,588 by
   * default), since a send may go to one partition as one batch.
   */
  readonly maxSendBytes?: number
  /** How long the brokers may take to replicate a send, and to answer `ready`; default 10 s. */
  readonly requestTimeout?: Duration.Input
}

export interface Options extends Connection, PublisherOptions {}

/** The brokers' default `socket.request.max.bytes`: they close the connection on a larger request without an answer. */
const requestLimit = 104_857_600

const backOff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

/** Connects with the first message. A cluster that can't be reached shows in `ready` and in the log. */
export const layer = (options: Options): Layer.Layer<MessagePublisher> =>
  Layer.effect(
    MessagePublisher,
    Effect.flatMap(make(options), (kafka) => publishing(kafka, options))
  )

/** The same over an existing client, or a model of one. */
export const publisherOver = (kafka: KafkaClient, options: PublisherOptions = {}): Layer.Layer<MessagePublisher> =>
  Layer.effect(MessagePublisher, publishing(kafka, options))

const publishing = (
  kafka: KafkaClient,
  options: PublisherOptions
): Effect.Effect<MessagePublisher["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const oneAtATime = yield* Semaphore.make(1)
    const requestTimeout = options.requestTimeout ?? "10 seconds"
    const sender = new Sender(kafka, millis(requestTimeout))
    const parts = { sender, limits: new TopicLimits(kafka), maxSendBytes: options.maxSendBytes ?? 900_000 }
    const topics = ensuredTopics(kafka, options)

    yield* Effect.addFinalizer(() => oneAtATime.withPermit(sender.discard))
    yield* topics.ensure(new Set(options.topics ?? Object.values(pipelineTopics))).pipe(
      Effect.tapError((failure) => Effect.logWarning("topics are not ensured yet", failure.message)),
      Effect.retry(backOff),
      Effect.ignore,
      Effect.forkScoped
    )

    return MessagePublisher.of({
      publish: (messages) => publish(parts, topics, messages).pipe(oneAtATime.withPermit),
      ready: ready(kafka, requestTimeout)
    })
  })

/** The topics that are known to exist. */
interface EnsuredTopics {
  /** Creates those that are missing. */
  readonly ensure: (topics: Iterable<string>) => Effect.Effect<void, KafkaFailure>
  readonly forget: () => void
}

const ensuredTopics = (kafka: KafkaClient, options: TopicOptions): EnsuredTopics => {
  const ensured = new Set<string>()
  return {
    ensure: (topics) =>
      Effect.suspend(() => {
        const unseen = [...topics].filter((topic) => !ensured.has(topic))
        if (unseen.length === 0) return Effect.void
        return Effect.map(ensure(kafka, unseen, options), () => {
          for (const topic of unseen) ensured.add(topic)
        })
      }),
    forget: () => ensured.clear()
  }
}

const publish = (
  parts: Parts,
  topics: EnsuredTopics,
  messages: ReadonlyArray<Message>
): ReturnType<MessagePublisher["Service"]["publish"]> =>
  Effect.suspend(() => {
    const records = messages.map((message, index) => ({ index, message, size: sizeOf(message) }))
    const publication = new Publication(records, parts)
    const oversized = records.filter(({ size }) => batchOverhead + size > requestLimit)
    return prepare(topics, publication, records).pipe(
      Effect.andThen(Effect.sync(() => publication.refuse(oversized, `larger than ${requestLimit} bytes`))),
      Effect.andThen(publication.deliver),
      // a topic may have been deleted
      Effect.tapErrorTag("PublishTransient", () => Effect.sync(() => topics.forget()))
    )
  })

/** Makes sure that the topics exist; refuses the records of a topic whose name the broker refuses. */
const prepare = (topics: EnsuredTopics, publication: Publication, records: ReadonlyArray<Indexed>) => {
  const groups = Map.groupBy(records, ({ message }) => message.topic)
  return Effect.catchIf(
    topics.ensure(groups.keys()),
    (failure) => failure.refuses,
    // one at a time, to find the topic that is refused
    () =>
      Effect.forEach(
        groups,
        ([topic, some]) =>
          Effect.catchIf(
            topics.ensure([topic]),
            (failure) => failure.refuses,
            (failure) => Effect.sync(() => publication.refuse(some, failure.message))
          ),
        { discard: true }
      )
  ).pipe(
    Effect.tapError((failure) => explain(failure, records)),
    Effect.mapError((cause) => new PublishTransient({ cause }))
  )
}

const ready = (kafka: KafkaClient, requestTimeout: Duration.Input): MessagePublisher["Service"]["ready"] =>
  withAdmin(kafka, (admin) => call(() => admin.describeCluster())).pipe(
    // the request covers all topics, and fails when any of them has a partition without a leader
    Effect.catchIf(
      ({ type }) => type === "LEADER_NOT_AVAILABLE",
      () => Effect.void
    ),
    Effect.timeout(requestTimeout),
    Effect.mapError((cause) => new PublishTransient({ cause })),
    Effect.asVoid
  )
