/**
 * Judges stored invoices: takes `new_invoice` messages, loads the invoices, asks the validator and writes the verdicts.
 *
 * Messages are handled at least once; a verdict takes effect once, since it applies only to an invoice that has not
 * changed since it was judged, in one transaction with its own event. A batch is acknowledged only when all of it is
 * settled. A message that can't be settled (it has no id, there is no such invoice, the validator dies, only its write
 * keeps failing) goes to the dead-letter topic with the reason; a store that is unavailable is waited for. `BatchRetry`
 * decides when a try is the last.
 */
import { Cause, Clock, Context, Deferred, Effect, Fiber, FiberSet, Layer, Metric, Stream } from "effect"
import {
  ConsumerUnavailable,
  type PublishRefused,
  type PublishTransient,
  type StoreUnavailable
} from "../domain/InvoiceError.ts"
import * as InvoiceEvent from "../domain/InvoiceEvent.ts"
import type { Message } from "../domain/Message.ts"
import * as Timestamp from "../domain/Timestamp.ts"
import { InvoiceStore } from "../ports/InvoiceStore.ts"
import { InvoiceValidator } from "../ports/InvoiceValidator.ts"
import { type MessageBatch, MessageConsumer } from "../ports/MessageConsumer.ts"
import { MessagePublisher } from "../ports/MessagePublisher.ts"
import * as BatchRetry from "./BatchRetry.ts"
import * as DeadLetterWriter from "./DeadLetterWriter.ts"
import * as JudgeInvoices from "./JudgeInvoices.ts"
import * as WriteProof from "./WriteProof.ts"

export interface Options {
  /** Consumer group; default `validation-service`, as in the reference. */
  readonly group?: string
  /** Batches (of different partitions) worked on at once, default 3; one that waits for its next try doesn't count. */
  readonly concurrency?: number
  /** Longest wait between two tries, in milliseconds; default 1,000. */
  readonly retryMillis?: number
  /** Counted tries after which a message that keeps failing alone becomes a dead letter, from 1; default 10. */
  readonly maxTries?: number
  /** How long a stop waits for the batches that are being handled, in milliseconds; default 3,000. */
  readonly finishMillis?: number
}

/** A run counts as working after this long, or with its first batch, although the run before it failed. */
const settledNanos = 10_000_000_000n

export class ValidateInvoices extends Context.Service<
  ValidateInvoices,
  {
    /**
     * Handles messages with one try: afterwards each of them has led to a verdict or become a dead letter. Answers how
     * many verdicts were written.
     */
    readonly handle: (
      messages: ReadonlyArray<Message>
    ) => Effect.Effect<number, StoreUnavailable | PublishTransient | PublishRefused>
    /** Handles batches until interrupted; then takes no more, and finishes those that are being handled. */
    readonly run: Effect.Effect<void, ConsumerUnavailable>
    /**
     * Fails with what keeps it from working, if anything does: a store or a dead-letter topic that a batch waits for,
     * or the failure of the last `run` until the next one counts as working.
     */
    readonly ready: Effect.Effect<void, BatchRetry.Trouble | ConsumerUnavailable>
  }
>()("@invoice/core/ValidateInvoices") {
  static readonly layer = (
    options: Options = {}
  ): Layer.Layer<ValidateInvoices, never, InvoiceStore | InvoiceValidator | MessageConsumer | MessagePublisher> =>
    Layer.effect(ValidateInvoices, make(options))
}

const make = Effect.fnUntraced(function* (options: Options) {
  const store = yield* InvoiceStore
  const validator = yield* InvoiceValidator
  const consumer = yield* MessageConsumer
  const { publish } = yield* MessagePublisher
  const group = options.group ?? "validation-service"
  const retryMillis = options.retryMillis ?? 1_000
  const proof = WriteProof.make(store.writable, retryMillis)
  const judge = JudgeInvoices.make({ store, validator, proof })
  const batches = BatchRetry.make({
    group,
    attempt: (received) => Effect.map(judge(received), ({ unhandled }) => unhandled),
    proof,
    publish,
    concurrency: options.concurrency ?? 3,
    retryMillis,
    maxTries: options.maxTries ?? 10
  })
  const runs = makeRuns(consume(consumer, batches, group, options.finishMillis ?? 3_000))
  return ValidateInvoices.of({
    handle: handle(judge, publish),
    run: runs.run,
    ready: Effect.flatMap(runs.failure, (failure): Effect.Effect<void, BatchRetry.Trouble | ConsumerUnavailable> => {
      const keeps = batches.trouble() ?? failure
      return keeps === undefined ? Effect.void : Effect.fail(keeps)
    })
  })
})

/** One try, without a consumer: a message that can't be handled becomes a dead letter. */
const handle = (judge: JudgeInvoices.Judge, publish: MessagePublisher["Service"]["publish"]) =>
  Effect.fnUntraced(function* (messages: ReadonlyArray<Message>) {
    const { unhandled, written } = yield* judge(messages.map((message) => ({ message })))
    const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
    const { failure } = yield* DeadLetterWriter.write(publish, DeadLetterWriter.pending(unhandled, at))
    return failure === undefined ? written : yield* failure
  })

/** Takes batches until it is interrupted or the subscription ends; calls `begun` for each batch. */
const consume =
  (consumer: MessageConsumer["Service"], batches: BatchRetry.Settling, group: string, finishMillis: number) =>
  (begun: () => void): Effect.Effect<void, ConsumerUnavailable> =>
    Effect.gen(function* () {
      const stopping = yield* Deferred.make<void>()
      const inHand = yield* FiberSet.make<void, never>()
      const handleBatch = Effect.fnUntraced(function* (batch: MessageBatch) {
        begun()
        const attributes = { topic: batch.topic, consumer_group_id: group }
        yield* Metric.update(Metric.withAttributes(batchMessages, attributes), batch.messages.length)
        if (yield* batches.settle(batch, stopping)) {
          yield* Metric.update(Metric.withAttributes(consumed, attributes), batch.messages.length)
          yield* batch.acknowledge
        }
      })
      const subscribed = yield* consumer.subscribe({ topic: InvoiceEvent.topics.Pending, group }).pipe(
        // the port hands out one batch of a partition at a time, so this is bounded
        Stream.runForEach((batch) =>
          Deferred.isDoneUnsafe(stopping) ? Effect.void : FiberSet.run(inHand, handleBatch(batch))
        ),
        Effect.forkScoped
      )
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          Deferred.succeed(stopping, undefined),
          // finalizers are uninterruptible by default
          Effect.timeoutOption(Effect.interruptible(FiberSet.awaitEmpty(inHand)), `${finishMillis} millis`)
        )
      )
      yield* Effect.raceFirst(Fiber.join(subscribed), FiberSet.join(inHand))
    }).pipe(Effect.scoped)

/** Remembers the failure of the last run, for `ready`, until the next run has worked for a while. */
const makeRuns = (consume: (begun: () => void) => Effect.Effect<void, ConsumerUnavailable>) => {
  let ended: ConsumerUnavailable | undefined
  /** When the run in progress began; undefined between two runs. */
  let since: bigint | undefined
  const begun = (): void => {
    ended = undefined
  }
  return {
    run: Effect.flatMap(Clock.currentTimeNanos, (now) => {
      since = now
      return consume(begun)
    }).pipe(
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the validator stopped", cause)
      ),
      // a defect here is the consumer's: defects of the store, the validator and the publisher are caught before
      Effect.catchDefect((cause) => Effect.fail(new ConsumerUnavailable({ cause }))),
      Effect.tapError((error) =>
        Effect.sync(() => {
          ended = error
          since = undefined
        })
      )
    ),
    failure: Effect.map(Clock.currentTimeNanos, (now) =>
      since === undefined || now - since < settledNanos ? ended : undefined
    )
  }
}

const batchMessages = Metric.histogram("consumer_batch_messages", {
  description: "Messages of a batch",
  boundaries: [1, 5, 10, 25, 50, 100, 250, 500, 1_000]
})

const consumed = Metric.counter("kafka_total_consumed_messages", {
  description: "Messages consumed and settled",
  incremental: true
})
