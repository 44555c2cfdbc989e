/**
 * `TopicReader` over Kafka. kafkajs reads nothing without a group, so each reading has one of its own, which commits
 * nothing and is gone afterwards.
 */
import { ConsumerUnavailable } from "@invoice/core/InvoiceError"
import { type Located, TopicReader } from "@invoice/core/ports/TopicReader"
import { Deferred, Effect, Exit, Layer, Queue, Schedule, Stream } from "effect"
import type { Admin, EachBatchPayload, Kafka } from "kafkajs"
import { type Connection, call, make } from "./Client.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { incoming } from "./Records.ts"
import { withAdmin } from "./Topics.ts"

/** Messages that are read ahead. */
const ahead = 2_000

/** Somebody waits for the answer: a broker that is away is given some twenty seconds. */
const patiently = {
  schedule: Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")]).pipe(
    Schedule.upTo({ times: 9 })
  ),
  while: (failure: KafkaFailure): boolean => !failure.impossible
}

/** Where the partitions end now, of those that hold anything. */
const endsOf = (admin: Admin, topic: string): Effect.Effect<Map<number, bigint>, KafkaFailure> =>
  Effect.gen(function* () {
    if (!(yield* call(() => admin.listTopics())).includes(topic)) return new Map()
    const partitions = yield* call(() => admin.fetchTopicOffsets(topic))
    return new Map(
      partitions
        .filter(({ high, low }) => high !== low)
        .map(({ high, partition }) => [partition, BigInt(high)] as const)
    )
  })

/** What is left to read of a topic: where the partitions end that are not read to their end, and what is read of them. */
interface Rest {
  readonly ends: Map<number, bigint>
  readonly nexts: Map<number, bigint>
}

/** Reads on until nothing is left. kafkajs begins anew each time; what was read before is passed over. */
const readInto = (
  kafka: Kafka,
  topic: string,
  { ends, nexts }: Rest,
  queue: Queue.Enqueue<Located>
): Effect.Effect<void, KafkaFailure> =>
  Effect.gen(function* () {
    if (ends.size === 0) return
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const finished = yield* Deferred.make<void, KafkaFailure>()
    const consumer = kafka.consumer({
      groupId: `invoice-reader-${crypto.randomUUID()}`,
      maxWaitTimeInMs: 100,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async () => false }
    })

    /** Everything before this offset is read. */
    const reached = (partition: number, offset: bigint): void => {
      const end = ends.get(partition)
      if (end === undefined || offset < end) return
      ends.delete(partition)
      consumer.pause([{ topic, partitions: [partition] }])
      if (ends.size === 0) Deferred.doneUnsafe(finished, Exit.void)
    }
    const eachBatch = async ({ batch, heartbeat }: EachBatchPayload): Promise<void> => {
      const { partition } = batch
      const end = ends.get(partition)
      if (end === undefined) return
      const next = nexts.get(partition) ?? 0n
      const located = batch.messages
        .filter(({ offset }) => BigInt(offset) >= next && BigInt(offset) < end)
        .map((message) => ({ message: incoming(topic, message), partition, offset: message.offset }))
      for (const one of located) {
        await run(Effect.raceFirst(Queue.offer(queue, one), Deferred.await(finished)))
        nexts.set(partition, BigInt(one.offset) + 1n)
        await heartbeat()
      }
      reached(partition, BigInt(batch.lastOffset()) + 1n)
    }

    consumer.on(consumer.events.CRASH, ({ payload }) => {
      Deferred.doneUnsafe(finished, Exit.fail(KafkaFailure.from(payload.error)))
    })
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      // records that kafkajs shows to nobody
      if (payload.batchSize === 0) reached(payload.partition, BigInt(payload.lastOffset) + 1n)
    })
    yield* Effect.acquireUseRelease(
      call(() => consumer.connect()),
      () =>
        Effect.andThen(
          call(async () => {
            await consumer.subscribe({ topics: [topic], fromBeginning: true })
            await consumer.run({ autoCommit: false, eachBatch })
          }),
          Deferred.await(finished)
        ),
      () => Effect.andThen(Deferred.interrupt(finished), Effect.ignore(call(() => consumer.disconnect())))
    )
  })

export const layer = (options: Connection): Layer.Layer<TopicReader> =>
  Layer.effect(
    TopicReader,
    Effect.map(make(options), (kafka) =>
      TopicReader.of({
        read: (topic) =>
          Stream.callback<Located, ConsumerUnavailable>(
            (queue) =>
              withAdmin(kafka, (admin) => endsOf(admin, topic)).pipe(
                Effect.retry(patiently),
                Effect.flatMap((ends) =>
                  Effect.retry(readInto(kafka, topic, { ends, nexts: new Map() }, queue), patiently)
                ),
                Effect.mapError((cause) => new ConsumerUnavailable({ cause })),
                Effect.andThen(Queue.end(queue))
              ),
            { bufferSize: ahead }
          )
      })
    )
  )
