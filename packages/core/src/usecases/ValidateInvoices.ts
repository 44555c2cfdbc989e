/**
 * Judges what was stored: takes `new_invoice` messages, loads the invoices, asks the validator and writes the verdicts.
 *
 * At least once with a guarded effect: a verdict applies only to an invoice that is still as it was judged, in one
 * transaction with its own event, and a batch is acknowledged only when all of it is settled. What can't be settled (no
 * id in the message, no such invoice, a validator that dies, a write that keeps failing for it alone) goes to the
 * dead-letter topic with the reason; a store that is unavailable is waited for. `BatchRetry` says when a try is the last.
 */

import { Cause, Clock, Context, Deferred, Effect, Fiber, FiberSet, Layer, Metric, Stream } from "effect"
import type * as Invoice from "../domain/Invoice.ts"
import {
  ConsumerUnavailable,
  type PublishRefused,
  type PublishTransient,
  StoreUnavailable
} from "../domain/InvoiceError.ts"
import * as InvoiceEvent from "../domain/InvoiceEvent.ts"
import type { Message } from "../domain/Message.ts"
import * as Timestamp from "../domain/Timestamp.ts"
import { type Decision, InvoiceStore, type StoredInvoice } from "../ports/InvoiceStore.ts"
import { InvoiceValidator } from "../ports/InvoiceValidator.ts"
import { type MessageBatch, MessageConsumer } from "../ports/MessageConsumer.ts"
import { MessagePublisher } from "../ports/MessagePublisher.ts"
import * as BatchRetry from "./BatchRetry.ts"
import type * as DeadLetter from "./DeadLetter.ts"
import * as DeadLetterWriter from "./DeadLetterWriter.ts"
import * as WriteProof from "./WriteProof.ts"

export interface Options {
  /** Consumer group; default `validation-service`, as in the reference. */
  readonly group?: string
  /** Batches (of different partitions) worked on at once, default 3; one that waits for its next try doesn't count. */
  readonly concurrency?: number
  /** Longest wait between two tries, in milliseconds; default 1,000. */
  readonly retryMillis?: number
  /** Tries of a message whose handling fails alone, from 1; default 10. */
  readonly maxTries?: number
  /** How long a stop waits for the batches in hand, in milliseconds; default 3,000. */
  readonly finishMillis?: number
}

/** Versions that change while they are judged, so often that something is wrong with the store. */
const rejudgings = 5

/** After this long without a failure, or with the first batch, a run counts as working though the one before it ended. */
const settledNanos = 10_000_000_000n

export class ValidateInvoices extends Context.Service<
  ValidateInvoices,
  {
    /**
     * Settles messages, once: every invoice of them has its verdict afterwards, or its message is a dead letter. Says
     * how many verdicts were written.
     */
    readonly handle: (
      messages: ReadonlyArray<Message>
    ) => Effect.Effect<number, StoreUnavailable | PublishTransient | PublishRefused>
    /** Handles batches until interrupted; then takes no more, and finishes those in hand. */
    readonly run: Effect.Effect<void, ConsumerUnavailable>
    /**
     * Fails with what keeps it from working, if anything does: a store or a dead-letter topic that a batch in hand waits
     * for, or the end of a `run`.
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
  const publisher = yield* MessagePublisher
  const group = options.group ?? "validation-service"
  const retryMillis = options.retryMillis ?? 1_000
  const proof = WriteProof.make(store.writable, retryMillis)

  /**
   * Those of the invoices that exist. That one doesn't is believed only of a store that takes writes: a standby may not
   * have it yet.
   */
  const load = Effect.fnUntraced(function* (ids: ReadonlyArray<Invoice.InvoiceId>) {
    const found = ids.length === 0 ? [] : yield* store.getMany(ids)
    const known = new Set(found.map(({ invoice }) => invoice.id))
    const missing = ids.filter((id) => !known.has(id))
    if (missing.length === 0) {
      return found
    }
    const unproven = yield* proof
    return unproven === undefined ? [...found, ...(yield* store.getMany(missing))] : yield* unproven
  })

  /** A validator that dies costs its own invoice the verdict, not its neighbours theirs. */
  const judge = (stored: StoredInvoice, traceparent: string | undefined): Effect.Effect<Decision | string> =>
    validator.judge(stored.invoice).pipe(
      Effect.map((verdict): Decision => ({ id: stored.invoice.id, version: stored.version, verdict, traceparent })),
      Effect.catchDefect((defect) => Effect.succeed(`the validator died: ${String(defect)}`))
    )

  /** Answers how many verdicts were written, and adds to the unhandled what has none. */
  const decide = Effect.fnUntraced(function* (
    received: ReadonlyMap<Invoice.InvoiceId, ReadonlyArray<DeadLetter.Received>>,
    unhandled: Array<DeadLetter.Unhandled>,
    rejudged = 0
  ): Effect.fn.Return<number, StoreUnavailable> {
    const lose = (id: Invoice.InvoiceId, kind: DeadLetter.Kind, reason: string): void => {
      unhandled.push(...(received.get(id) ?? []).map((one) => ({ received: one, kind, reason, attempts: 1 })))
    }
    const found = yield* load([...received.keys()])
    const known = new Set(found.map(({ invoice }) => invoice.id))
    const unknown = (id: Invoice.InvoiceId): void => lose(id, "UnknownInvoice", `there is no invoice ${id}`)
    for (const id of received.keys()) {
      if (!known.has(id)) {
        unknown(id)
      }
    }
    const decisions: Array<Decision> = []
    for (const stored of found) {
      const { id } = stored.invoice
      if (stored.status !== "Pending") {
        continue
      }
      const judged = yield* judge(stored, received.get(id)?.[0]?.message.headers["traceparent"])
      if (typeof judged === "string") {
        lose(id, "ValidatorDied", judged)
      } else {
        decisions.push(judged)
      }
    }
    const outcomes = decisions.length === 0 ? [] : yield* store.decide(decisions)
    let written = 0
    for (const [index, { outcome }] of outcomes.entries()) {
      const decision = decisions[index]
      if (outcome === "Decided" && decision !== undefined) {
        written += 1
        yield* decided(decision)
      }
    }
    for (const { id, outcome } of outcomes) {
      if (outcome === "NotFound") {
        unknown(id)
      }
    }
    const stale = new Set(outcomes.filter(({ outcome }) => outcome === "Stale").map(({ id }) => id))
    if (stale.size === 0) {
      return written
    }
    if (rejudged === rejudgings) {
      const cause = new Error(`${stale.size} invoices change faster than they are judged`)
      return yield* new StoreUnavailable({ kind: "retryable", cause })
    }
    const again = new Map([...received].filter(([id]) => stale.has(id)))
    return written + (yield* decide(again, unhandled, rejudged + 1))
  })

  /** Writes the verdicts; answers what is to be a dead letter, and how many verdicts were written. */
  const settle = Effect.fnUntraced(function* (received: ReadonlyArray<DeadLetter.Received>) {
    const unhandled: Array<DeadLetter.Unhandled> = []
    const byId = new Map<Invoice.InvoiceId, Array<DeadLetter.Received>>()
    for (const one of received) {
      const id = InvoiceEvent.fromMessage(one.message)?.id
      if (id === undefined) {
        const reason = 'the value is not JSON like {"id": "<uuid>"}'
        unhandled.push({ received: one, kind: "Undecodable", reason, attempts: 1 })
      } else {
        byId.set(id, [...(byId.get(id) ?? []), one])
      }
    }
    const written = yield* decide(byId, unhandled)
    return { unhandled, written }
  })

  const handle = Effect.fnUntraced(function* (messages: ReadonlyArray<Message>) {
    const { unhandled, written } = yield* settle(messages.map((message) => ({ message })))
    const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
    const { failure } = yield* DeadLetterWriter.write(publisher.publish, DeadLetterWriter.pending(unhandled, at))
    return failure === undefined ? written : yield* failure
  })

  const { settle: settleBatch, trouble } = BatchRetry.make({
    group,
    attempt: (received) => Effect.map(settle(received), ({ unhandled }) => unhandled),
    proof,
    publish: publisher.publish,
    concurrency: options.concurrency ?? 3,
    retryMillis,
    maxTries: options.maxTries ?? 10
  })

  /** The last run that ended by itself, and when the one after it began. */
  let ended: ConsumerUnavailable | undefined
  let since = 0n

  const handleBatch = Effect.fnUntraced(function* (batch: MessageBatch, stopping: Deferred.Deferred<void>) {
    ended = undefined
    const attributes = { topic: batch.topic, consumer_group_id: group }
    yield* Metric.update(Metric.withAttributes(batchMessages, attributes), batch.messages.length)
    if (yield* settleBatch(batch, stopping)) {
      yield* Metric.update(Metric.withAttributes(consumed, attributes), batch.messages.length)
      yield* batch.acknowledge
    }
  })

  const consume = Effect.gen(function* () {
    since = yield* Clock.currentTimeNanos
    const stopping = yield* Deferred.make<void>()
    const inHand = yield* FiberSet.make<void, never>()
    const subscribed = yield* consumer.subscribe({ topic: InvoiceEvent.topics.Pending, group }).pipe(
      // the port has one batch of a partition in hand, so this is bounded
      Stream.runForEach((batch) =>
        Deferred.isDoneUnsafe(stopping) ? Effect.void : FiberSet.run(inHand, handleBatch(batch, stopping))
      ),
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        Deferred.succeed(stopping, undefined),
        // finalizers are not interruptible unless they say so
        Effect.timeoutOption(
          Effect.interruptible(FiberSet.awaitEmpty(inHand)),
          `${options.finishMillis ?? 3_000} millis`
        )
      )
    )
    yield* Effect.raceFirst(Fiber.join(subscribed), FiberSet.join(inHand))
  }).pipe(Effect.scoped)

  const run = consume.pipe(
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the validator stopped", cause)
    ),
    // what dies here is the consumer: the store, the validator and the publisher have their own words for it
    Effect.catchDefect((cause) => Effect.fail(new ConsumerUnavailable({ cause }))),
    Effect.tapError((error) =>
      Effect.sync(() => {
        ended = error
      })
    )
  )

  const ready = Effect.flatMap(
    Clock.currentTimeNanos,
    (now): Effect.Effect<void, BatchRetry.Trouble | ConsumerUnavailable> => {
      const keeps = trouble() ?? (now - since < settledNanos ? ended : undefined)
      return keeps === undefined ? Effect.void : Effect.fail(keeps)
    }
  )

  return ValidateInvoices.of({ handle, run, ready })
})

const batchMessages = Metric.histogram("consumer_batch_messages", {
  description: "Messages of a batch",
  boundaries: [1, 5, 10, 25, 50, 100, 250, 500, 1_000]
})

const consumed = Metric.counter("kafka_total_consumed_messages", {
  description: "Messages consumed and settled",
  incremental: true
})

const handled = Metric.counter("total_handled_invoices", {
  description: "Invoices that got their verdict, by status",
  incremental: true
})

const decided = ({ id, verdict }: Decision): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(handled, { status: verdict.status }), 1),
    verdict.status === "Rejected"
      ? Effect.logInfo("invoice rejected").pipe(
          Effect.annotateLogs({ id, by: verdict.by, codes: verdict.violations.map(({ code }) => code).join(",") })
        )
      : Effect.void
  )
