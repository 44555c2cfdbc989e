/**
 * Judges what was stored: takes `new_invoice` messages, loads the invoices, asks the validator and writes the verdicts.
 *
 * At least once with a guarded effect: a verdict applies only to an invoice that is still as it was judged, in one
 * transaction with its own event, and a batch is acknowledged only when all of it is settled. What can't be settled (no
 * id in the message, no such invoice, a validator that dies) goes to the dead-letter topic with the reason.
 */
import { Cause, Context, Effect, Layer, Metric, Schedule, Stream } from "effect"
import * as Invoice from "./Invoice.ts"
import type { ConsumerUnavailable, PublishRefused, PublishTransient, StoreUnavailable } from "./InvoiceError.ts"
import { type Message, topics } from "./InvoiceEvent.ts"
import { type Decision, InvoiceStore, type StoredInvoice } from "./ports/InvoiceStore.ts"
import { InvoiceValidator } from "./ports/InvoiceValidator.ts"
import { type MessageBatch, MessageConsumer } from "./ports/MessageConsumer.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"

export interface Options {
  /** Consumer group; default `validation-service`, as in the reference. */
  readonly group?: string
  /** Batches (of different partitions) in hand at once, default 3. */
  readonly concurrency?: number
  /** Longest wait between two tries while the store or the broker is away, in milliseconds; default 1,000. */
  readonly retryMillis?: number
}

/** Where messages go that can't be handled. */
export const deadLetterTopic = (topic: string): string => `${topic}.dlq`

interface DeadLetter {
  readonly message: Message
  readonly reason: string
}

type Failure = StoreUnavailable | PublishTransient | PublishRefused

export class ValidateInvoices extends Context.Service<
  ValidateInvoices,
  {
    /** Settles one batch: every invoice of it has its verdict afterwards, or its message is a dead letter. */
    readonly handle: (messages: ReadonlyArray<Message>) => Effect.Effect<void, Failure>
    /** Handles batches until interrupted; finishes the batches in hand when it is. */
    readonly run: Effect.Effect<void, ConsumerUnavailable>
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
  const backOff = Schedule.min([
    Schedule.exponential("50 millis"),
    Schedule.spaced(`${options.retryMillis ?? 1_000} millis`)
  ]).pipe(Schedule.jittered)

  const bury = (letters: ReadonlyArray<DeadLetter>): Effect.Effect<void, PublishTransient | PublishRefused> =>
    letters.length === 0
      ? Effect.void
      : Effect.andThen(
          Effect.forEach(letters, ({ message, reason }) =>
            Effect.logError("message to dead letters").pipe(
              Effect.annotateLogs({ topic: message.topic, key: message.key ?? "", reason })
            )
          ),
          publisher.publish(
            letters.map(({ message, reason }) => ({
              ...message,
              topic: deadLetterTopic(message.topic),
              headers: { ...message.headers, dlq_reason: reason, dlq_topic: message.topic }
            }))
          )
        )

  /** A validator that dies costs its own invoice the verdict, not its neighbours theirs. */
  const judge = (stored: StoredInvoice, traceparent: string | undefined): Effect.Effect<Decision | string> =>
    validator.judge(stored.invoice).pipe(
      Effect.map((verdict): Decision => ({ id: stored.invoice.id, version: stored.version, verdict, traceparent })),
      Effect.catchDefect((defect) => Effect.succeed(`the validator died: ${String(defect)}`))
    )

  const settle = Effect.fnUntraced(function* (
    messages: ReadonlyMap<Invoice.InvoiceId, Message>
  ): Effect.fn.Return<void, Failure> {
    const found = yield* store.getMany([...messages.keys()])
    const letters: Array<DeadLetter> = []
    const known = new Set(found.map(({ invoice }) => invoice.id))
    for (const [id, message] of messages) {
      if (!known.has(id)) {
        letters.push({ message, reason: `there is no invoice ${id}` })
      }
    }
    const decisions: Array<Decision> = []
    for (const stored of found) {
      const message = messages.get(stored.invoice.id)
      if (stored.status !== "Pending" || message === undefined) {
        continue
      }
      const judged = yield* judge(stored, message.headers["traceparent"])
      if (typeof judged === "string") {
        letters.push({ message, reason: judged })
      } else {
        decisions.push(judged)
      }
    }
    yield* bury(letters)
    const outcomes = decisions.length === 0 ? [] : yield* store.decide(decisions)
    const stale = new Map<Invoice.InvoiceId, Message>()
    for (const [index, { id, outcome }] of outcomes.entries()) {
      const message = messages.get(id)
      const decision = decisions[index]
      if (outcome === "Stale" && message !== undefined) {
        stale.set(id, message)
      } else if (outcome === "Decided" && decision !== undefined) {
        yield* decided(decision)
      }
    }
    if (stale.size > 0) {
      yield* settle(stale)
    }
  })

  const handle = Effect.fnUntraced(function* (messages: ReadonlyArray<Message>) {
    const byId = new Map<Invoice.InvoiceId, Message>()
    const letters: Array<DeadLetter> = []
    for (const message of messages) {
      const id = idOf(message)
      if (id === undefined) {
        letters.push({ message, reason: 'the value is not JSON like {"id": "<uuid>"}' })
      } else {
        byId.set(id, message)
      }
    }
    yield* bury(letters)
    yield* settle(byId)
  })

  /** What fails for good is tried message by message, so that only the culprit becomes a dead letter. */
  const persist = (messages: ReadonlyArray<Message>): Effect.Effect<void> =>
    handle(messages).pipe(
      Effect.tapError((error) => Effect.logWarning("verdicts not written yet").pipe(Effect.annotateLogs({ error }))),
      Effect.retry(
        backOff.pipe(
          Schedule.setInputType<Failure>(),
          Schedule.while(({ input }) => isTransient(input))
        )
      ),
      Effect.catch((error) =>
        messages.length > 1
          ? Effect.forEach(messages, (message) => persist([message]), { discard: true })
          : bury(messages.map((message) => ({ message, reason: error.message }))).pipe(
              Effect.retry(
                backOff.pipe(
                  Schedule.setInputType<PublishTransient | PublishRefused>(),
                  Schedule.while(({ input }) => isTransient(input))
                )
              ),
              // a dead letter that the broker refuses: nowhere left to put it but the log
              Effect.catch((refused) =>
                Effect.logError("dead letter refused").pipe(
                  Effect.annotateLogs({ error: refused, reason: error.message })
                )
              )
            )
      )
    )

  const settleBatch = (batch: MessageBatch): Effect.Effect<void> =>
    persist(batch.messages).pipe(
      Effect.andThen(
        Metric.update(
          Metric.withAttributes(consumed, { topic: batch.topic, consumer_group_id: group }),
          batch.messages.length
        )
      ),
      Effect.andThen(batch.acknowledge)
    )

  return ValidateInvoices.of({
    handle,
    run: consumer.subscribe({ topic: topics.Pending, group }).pipe(
      Stream.mapEffect(settleBatch, { concurrency: options.concurrency ?? 3, unordered: true }),
      Stream.runDrain,
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the validator stopped", cause)
      )
    )
  })
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

const isTransient = (failure: Failure): boolean =>
  failure._tag === "PublishTransient" || (failure._tag === "StoreUnavailable" && failure.retryable)

/** UTF-8 by hand would be silly, and `TextDecoder` is everywhere that `JSON.parse` is. */
declare const TextDecoder: new (
  label: string,
  options: { readonly fatal: boolean }
) => {
  readonly decode: (bytes: Uint8Array) => string
}
const utf8 = new TextDecoder("utf-8", { fatal: true })

const idOf = (message: Message): Invoice.InvoiceId | undefined => {
  try {
    const value: unknown = JSON.parse(utf8.decode(message.value))
    const id = typeof value === "object" && value !== null && "id" in value ? value.id : undefined
    return typeof id === "string" ? Invoice.parseId(id) : undefined
  } catch {
    return undefined
  }
}
