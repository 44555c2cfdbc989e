/**
 * `TopicReader` over Kafka. kafkajs reads nothing without a group, so each reading has a group of its own, which
 * commits nothing and is gone afterwards. A reading fails when nothing comes for {@link ReaderOptions.stallTimeout}.
 */
import { ConsumerUnavailable } from "@invoice/core/InvoiceError"
import type { Located } from "@invoice/core/Message"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Clock, Deferred, type Duration, Effect, Exit, Layer, Queue, Schedule, Stream } from "effect"
import type { EachBatchPayload } from "kafkajs"
import { bounded, type Connection, call, make, millis } from "./Client.ts"
import type { AdminClient, ConsumerClient, KafkaClient } from "./KafkaClient.ts"
import { KafkaFailure } from "./KafkaFailure.ts"
import { Liveness } from "./Liveness.ts"
import { incoming } from "./Records.ts"
import { exists, withAdmin } from "./Topics.ts"

export interface ReaderOptions {
  /** A reading fails when the brokers bring nothing for this long while somebody waits for it; 30 s by default. */
  readonly stallTimeout?: Duration.Input
}

export interface Options extends Connection, ReaderOptions {}

/** Maximum number of messages that are read ahead. */
const ahead = 2_000

/** Somebody waits for the answer: a broker that can't be reached is tried for some twenty seconds. */
const tries = {
  schedule: Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")]).pipe(
    Schedule.upTo({ times: 9 })
  ),
  while: (failure: KafkaFailure): boolean => !failure.impossible
}

const retried = <A>(step: Effect.Effect<A, KafkaFailure>): Effect.Effect<A, KafkaFailure> => Effect.retry(step, tries)

/** Where the partitions that hold messages end now. */
const endsOf = (admin: AdminClient, topic: string): Effect.Effect<Map<number, bigint>, KafkaFailure> =>
  Effect.gen(function* () {
    if (!(yield* exists(admin, topic))) return new Map()
    const partitions = yield* call(() => admin.fetchTopicOffsets(topic))
    return new Map(
      partitions
        .filter(({ high, low }) => high !== low)
        .map(({ high, partition }) => [partition, BigInt(high)] as const)
    )
  })

/** How long a consumer may take to leave its group and close. */
const closing = "5 seconds"

/** What is left to read of a topic: where the unfinished partitions end, and the next offset to read of each. */
interface Rest {
  readonly ends: Map<number, bigint>
  readonly nexts: Map<number, bigint>
}

/** Where messages go to, and where their arrival is noted. */
interface Sink {
  readonly queue: Queue.Enqueue<Located>
  readonly liveness: Liveness
}

/** Waits while the subscriber takes nothing. That is no stall, since it is not the brokers' fault. */
const offer = ({ liveness, queue }: Sink, one: Located): Effect.Effect<unknown> => {
  const waiting = Effect.repeat(
    Effect.sync(() => liveness.sign()),
    Schedule.spaced("1 second")
  )
  return Effect.raceFirst(Queue.offer(queue, one), waiting)
}

/** A reading of a topic while it lasts. */
interface Reading {
  readonly topic: string
  readonly rest: Rest
  readonly sink: Sink
  readonly consumer: ConsumerClient
  readonly finished: Deferred.Deferred<void, KafkaFailure>
  readonly run: (effect: Effect.Effect<unknown, KafkaFailure>) => Promise<unknown>
}

/** Reads until nothing is left. After a failure kafkajs begins anew, and messages that were read before are skipped. */
const readInto = (kafka: KafkaClient, topic: string, rest: Rest, sink: Sink): Effect.Effect<void, KafkaFailure> =>
  Effect.gen(function* () {
    if (rest.ends.size === 0) return
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const finished = yield* Deferred.make<void, KafkaFailure>()
    const consumer = kafka.consumer({
      groupId: `invoice-reader-${crypto.randomUUID()}`,
      maxWaitTimeInMs: 100,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async () => false }
    })
    const reading: Reading = { topic, rest, sink, consumer, finished, run }
    listen(reading)
    yield* Effect.ensuring(
      Effect.andThen(start(reading), Deferred.await(finished)),
      Effect.andThen(
        Deferred.interrupt(finished),
        bounded(
          call(() => consumer.disconnect()),
          closing
        )
      )
    )
  })

const listen = (reading: Reading): void => {
  const { consumer, finished, sink } = reading
  consumer.on("consumer.crash", ({ payload }) => {
    Deferred.doneUnsafe(finished, Exit.fail(KafkaFailure.from(payload.error)))
  })
  consumer.on("consumer.end_batch_process", ({ payload }) => {
    sink.liveness.sign()
    // the batch held only records that kafkajs shows to nobody
    if (payload.batchSize === 0) reached(reading, payload.partition, BigInt(payload.lastOffset) + 1n)
  })
}

const start = (reading: Reading): Effect.Effect<void, KafkaFailure> =>
  call(async () => {
    const { consumer, topic } = reading
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({ autoCommit: false, eachBatch: (payload) => take(reading, payload) })
  })

const take = async (reading: Reading, { batch, heartbeat }: EachBatchPayload): Promise<void> => {
  const { finished, rest, run, sink, topic } = reading
  const { partition } = batch
  const end = rest.ends.get(partition)
  if (end === undefined) return
  const next = rest.nexts.get(partition) ?? 0n
  const located = batch.messages
    .filter(({ offset }) => BigInt(offset) >= next && BigInt(offset) < end)
    .map((message) => ({ message: incoming(topic, message), partition, offset: message.offset }))
  for (const one of located) {
    sink.liveness.sign()
    if (!Queue.offerUnsafe(sink.queue, one)) {
      await run(Effect.raceFirst(offer(sink, one), Deferred.await(finished)))
    }
    rest.nexts.set(partition, BigInt(one.offset) + 1n)
    await heartbeat()
  }
  reached(reading, partition, BigInt(batch.lastOffset()) + 1n)
}

/** Everything before this offset is read. */
const reached = ({ consumer, finished, rest, topic }: Reading, partition: number, offset: bigint): void => {
  const end = rest.ends.get(partition)
  if (end === undefined || offset < end) return
  rest.ends.delete(partition)
  consumer.pause([{ topic, partitions: [partition] }])
  if (rest.ends.size === 0) Deferred.doneUnsafe(finished, Exit.void)
}

export const layer = (options: Options): Layer.Layer<TopicReader> =>
  Layer.effect(
    TopicReader,
    Effect.map(make(options), (kafka) => reader(kafka, options))
  )

/** The same over an existing client, or a model of one. */
export const readerOver = (kafka: KafkaClient, options: ReaderOptions = {}): Layer.Layer<TopicReader> =>
  Layer.succeed(TopicReader, reader(kafka, options))

const reader = (kafka: KafkaClient, { stallTimeout = "30 seconds" }: ReaderOptions): TopicReader["Service"] =>
  TopicReader.of({
    read: (topic) =>
      Stream.callback<Located, ConsumerUnavailable>(
        (queue) =>
          Effect.gen(function* () {
            const liveness = new Liveness(yield* Clock.Clock, "the brokers brought nothing")
            const reading = Effect.gen(function* () {
              const ends = yield* retried(withAdmin(kafka, (admin) => endsOf(admin, topic)))
              yield* retried(readInto(kafka, topic, { ends, nexts: new Map() }, { queue, liveness }))
            })
            yield* Effect.raceFirst(reading, liveness.watch(millis(stallTimeout)))
            yield* Queue.end(queue)
          }).pipe(Effect.mapError((cause) => new ConsumerUnavailable({ cause }))),
        { bufferSize: ahead }
      )
  })
