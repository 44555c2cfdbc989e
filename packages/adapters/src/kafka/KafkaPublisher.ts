/**
 * `MessagePublisher` over Kafka: idempotent, acknowledged by all replicas, one send at a time.
 *
 * A producer whose send failed is never used again: kafkajs gives the sequence numbers of a failed send to the next one,
 * and a broker that did append the first would drop the second as a duplicate.
 */

import { PublishRefused, PublishTransient } from "@invoice/core/InvoiceError"
import { type Message, topics as pipelineTopics } from "@invoice/core/InvoiceEvent"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { type Duration, Effect, Layer, Schedule, type Scope, Semaphore } from "effect"
import { type Connection, call, make, millis } from "./Client.ts"
import type { KafkaClient, ProducerClient } from "./KafkaClient.ts"
import type { KafkaFailure } from "./KafkaFailure.ts"
import { partitioner } from "./Partitioner.ts"
import { byTopic, sizeOf } from "./Records.ts"
import { ensure, type TopicOptions, withAdmin } from "./Topics.ts"

/** What holds for whatever client the messages go through. */
export interface PublisherOptions extends TopicOptions {
  /** Topics to create at start if missing; the pipeline's unless told. Others are created at their first message. */
  readonly topics?: ReadonlyArray<string>
  /**
   * Most bytes of a send; 900,000 unless told. Not more than the brokers' `message.max.bytes` (1,048,588 unless
   * configured): a send may go to one partition as one batch.
   */
  readonly maxSendBytes?: number
  /** How long the brokers may take to replicate a send; 10 s unless told. */
  readonly requestTimeout?: Duration.Input
}

export interface Options extends Connection, PublisherOptions {}

/** The brokers' `socket.request.max.bytes`: on a larger request they hang up without a word. */
const requestLimit = 104_857_600

/** Of a batch beyond its records (KIP-98). */
const batchOverhead = 61

interface Indexed {
  readonly index: number
  readonly message: Message
  /** Bytes in a request. */
  readonly size: number
}

/** Consecutive runs that stay below a size; a message larger than that is alone. */
const runsOf = (records: ReadonlyArray<Indexed>, maxBytes: number): ReadonlyArray<ReadonlyArray<Indexed>> => {
  const runs: Array<Array<Indexed>> = []
  let bytes = 0
  for (const record of records) {
    const { size } = record
    const run = runs.at(-1)
    if (run === undefined || bytes + size > maxBytes) {
      runs.push([record])
      bytes = batchOverhead + size
    } else {
      run.push(record)
      bytes += size
    }
  }
  return runs
}

const refused = (records: ReadonlyArray<Indexed>, reason: string): PublishRefused =>
  new PublishRefused({ records: records.map(({ index }) => ({ index, reason })) })

const backOff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

/** Connects with the first message. A cluster that can't be reached shows in `ready` and in the log. */
export const layer = (options: Options): Layer.Layer<MessagePublisher> =>
  Layer.effect(
    MessagePublisher,
    Effect.flatMap(make(options), (kafka) => publishing(kafka, options))
  )

/** The same over a client that is there already, or a model of one. */
export const publisherOver = (kafka: KafkaClient, options: PublisherOptions = {}): Layer.Layer<MessagePublisher> =>
  Layer.effect(MessagePublisher, publishing(kafka, options))

const publishing = (
  kafka: KafkaClient,
  options: PublisherOptions
): Effect.Effect<MessagePublisher["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const oneAtATime = yield* Semaphore.make(1)
    const ensured = new Set<string>()
    let producer: ProducerClient | undefined

    const ensureAll = (topics: ReadonlySet<string>): Effect.Effect<void, KafkaFailure> =>
      Effect.suspend(() => {
        const unseen = [...topics].filter((topic) => !ensured.has(topic))
        if (unseen.length === 0) return Effect.void
        return Effect.map(ensure(kafka, unseen, options), () => {
          for (const topic of unseen) ensured.add(topic)
        })
      })

    const connected: Effect.Effect<ProducerClient, KafkaFailure> = Effect.suspend(() => {
      if (producer !== undefined) return Effect.succeed(producer)
      const next = kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        createPartitioner: partitioner,
        allowAutoTopicCreation: false,
        // kafkajs asks for at least one of an idempotent producer
        retry: { retries: 1 }
      })
      return call(() => next.connect()).pipe(
        Effect.tapError(() => Effect.ignore(call(() => next.disconnect()))),
        Effect.map(() => {
          producer = next
          return next
        })
      )
    })

    const discard = Effect.suspend(() => {
      const old = producer
      producer = undefined
      // one of them may be gone
      ensured.clear()
      return old === undefined ? Effect.void : Effect.ignore(call(() => old.disconnect()))
    })

    // not interruptible: kafkajs would go on sending behind the next producer's back; its timeouts bound it
    const send = (records: ReadonlyArray<Indexed>): Effect.Effect<void, KafkaFailure> =>
      connected.pipe(
        Effect.flatMap((current) =>
          call(() =>
            current.sendBatch({
              acks: -1,
              timeout: millis(options.requestTimeout ?? "10 seconds"),
              topicMessages: byTopic(records.map(({ message }) => message))
            })
          )
        ),
        Effect.onError(() => discard),
        Effect.asVoid,
        Effect.uninterruptible
      )

    /**
     * Kafka does not say which record it refuses. Halves are tried in order and nothing is sent after a refused
     * record, so that a key's later messages never overtake it.
     */
    const sendOrFind = (records: ReadonlyArray<Indexed>): Effect.Effect<void, PublishTransient | PublishRefused> =>
      Effect.catch(send(records), (failure) => {
        if (!failure.refuses) return Effect.fail(new PublishTransient({ cause: failure }))
        if (records.length === 1) return Effect.fail(refused(records, failure.message))
        const middle = Math.ceil(records.length / 2)
        return Effect.andThen(sendOrFind(records.slice(0, middle)), sendOrFind(records.slice(middle)))
      })

    const prepare = (records: ReadonlyArray<Indexed>): Effect.Effect<void, PublishTransient | PublishRefused> => {
      const enormous = records.filter(({ size }) => batchOverhead + size > requestLimit)
      if (enormous.length > 0) return Effect.fail(refused(enormous, `larger than ${requestLimit} bytes`))
      const groups = Map.groupBy(records, ({ message }) => message.topic)
      return Effect.catch(ensureAll(new Set(groups.keys())), (failure) =>
        failure.refuses ? blame(groups) : Effect.fail(new PublishTransient({ cause: failure }))
      )
    }

    /** One topic at a time, to name the one that can't be had. */
    const blame = (
      groups: ReadonlyMap<string, ReadonlyArray<Indexed>>
    ): Effect.Effect<void, PublishTransient | PublishRefused> =>
      Effect.forEach(
        groups,
        ([topic, records]) =>
          Effect.mapError(ensureAll(new Set([topic])), (failure) =>
            failure.refuses ? refused(records, failure.message) : new PublishTransient({ cause: failure })
          ),
        { discard: true }
      )

    yield* Effect.addFinalizer(() => oneAtATime.withPermit(discard))
    yield* ensureAll(new Set(options.topics ?? Object.values(pipelineTopics))).pipe(
      Effect.tapError((failure) => Effect.logWarning("topics are not ensured yet", failure.message)),
      Effect.retry(backOff),
      Effect.ignore,
      Effect.forkScoped
    )

    return MessagePublisher.of({
      publish: (messages) => {
        const records = messages.map((message, index) => ({ index, message, size: sizeOf(message) }))
        return Effect.andThen(
          prepare(records),
          Effect.forEach(runsOf(records, options.maxSendBytes ?? 900_000), sendOrFind, { discard: true })
        ).pipe(oneAtATime.withPermit)
      },
      ready: withAdmin(kafka, (admin) => call(() => admin.describeCluster())).pipe(
        Effect.mapError((failure) => new PublishTransient({ cause: failure })),
        Effect.asVoid
      )
    })
  })
