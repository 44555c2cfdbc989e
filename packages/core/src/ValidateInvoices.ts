/**
 * Judges what was stored: takes `new_invoice` messages, loads the invoices, asks the validator and writes the verdicts.
 *
 * At least once with a guarded effect: a verdict applies only to an invoice that is still as it was judged, in one
 * transaction with its own event, and a batch is acknowledged only when all of it is settled. What can't be settled (no
 * id in the message, no such invoice, a validator that dies, a write that keeps failing for it alone) goes to the
 * dead-letter topic with the reason; what is away is waited for. `Perseverance` says when a try is the last.
 */
import { Cause, Clock, Context, Deferred, Effect, Fiber, FiberSet, Layer, Metric, Stream } from "effect"
import * as DeadLetter from "./DeadLetter.ts"
import * as Invoice from "./Invoice.ts"
import { type ConsumerUnavailable, type PublishTransient, StoreUnavailable } from "./InvoiceError.ts"
import { type Message, topics } from "./InvoiceEvent.ts"
import * as Perseverance from "./Perseverance.ts"
import { type Decision, InvoiceStore, type StoredInvoice } from "./ports/InvoiceStore.ts"
import { InvoiceValidator } from "./ports/InvoiceValidator.ts"
import { type MessageBatch, MessageConsumer } from "./ports/MessageConsumer.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"
import * as Timestamp from "./Timestamp.ts"

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

type Failure = Perseverance.Failure

/** Versions that change while they are judged, so often that something is wrong with the store. */
const rejudgings = 5

export class ValidateInvoices extends Context.Service<
  ValidateInvoices,
  {
    /**
     * Settles messages, once: every invoice of them has its verdict afterwards, or its message is a dead letter. Says
     * how many verdicts were written.
     */
    readonly handle: (messages: ReadonlyArray<Message>) => Effect.Effect<number, Failure>
    /** Handles batches until interrupted; then takes no more, and finishes those in hand. */
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

  const bury = Effect.fnUntraced(function* (burials: ReadonlyArray<DeadLetter.Burial>) {
    if (burials.length === 0) {
      return
    }
    const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
    yield* post(burials.map((burial) => DeadLetter.bury(burial, at)))
    for (const { kind, reason, received } of burials) {
      const { key, topic } = received.message
      yield* Metric.update(Metric.withAttributes(deadLetters, { topic, reason: kind }), 1)
      yield* Effect.logError("message to dead letters").pipe(
        Effect.annotateLogs({ topic, key: key ?? "", partition: received.partition, offset: received.offset, reason })
      )
    }
  })

  /** A letter may be too large where its message wasn't: it has headers more. */
  const post = (letters: ReadonlyArray<Message>): Effect.Effect<void, PublishTransient> =>
    Effect.catchTag(publisher.publish(letters), "PublishRefused", ({ message }) =>
      letters.length > 1
        ? Effect.forEach(letters, (letter) => post([letter]), { discard: true })
        : Effect.catchTag(publisher.publish(letters.map(DeadLetter.withoutValue)), "PublishRefused", () =>
            // nowhere left to put it but the log
            Effect.logError("dead letter refused").pipe(
              Effect.annotateLogs({ headers: letters[0]?.headers, error: message })
            )
          )
    )

  /** A validator that dies costs its own invoice the verdict, not its neighbours theirs. */
  const judge = (stored: StoredInvoice, traceparent: string | undefined): Effect.Effect<Decision | string> =>
    validator.judge(stored.invoice).pipe(
      Effect.map((verdict): Decision => ({ id: stored.invoice.id, version: stored.version, verdict, traceparent })),
      Effect.catchDefect((defect) => Effect.succeed(`the validator died: ${String(defect)}`))
    )

  /** Answers how many verdicts were written, and adds to the burials what has none. */
  const decide = Effect.fnUntraced(function* (
    received: ReadonlyMap<Invoice.InvoiceId, ReadonlyArray<DeadLetter.Received>>,
    burials: Array<DeadLetter.Burial>,
    rejudged = 0
  ): Effect.fn.Return<number, Failure> {
    const lose = (id: Invoice.InvoiceId, kind: DeadLetter.Kind, reason: string): void => {
      burials.push(...(received.get(id) ?? []).map((one) => ({ received: one, kind, reason, attempts: 1 })))
    }
    const found = received.size === 0 ? [] : yield* store.getMany([...received.keys()])
    const known = new Set(found.map(({ invoice }) => invoice.id))
    for (const id of received.keys()) {
      if (!known.has(id)) {
        lose(id, "UnknownInvoice", `there is no invoice ${id}`)
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
    const stale = new Set(outcomes.filter(({ outcome }) => outcome === "Stale").map(({ id }) => id))
    if (stale.size === 0) {
      return written
    }
    if (rejudged === rejudgings) {
      const cause = new Error(`${stale.size} invoices change faster than they are judged`)
      return yield* new StoreUnavailable({ retryable: true, cause })
    }
    const again = new Map([...received].filter(([id]) => stale.has(id)))
    return written + (yield* decide(again, burials, rejudged + 1))
  })

  const settle = Effect.fnUntraced(function* (received: ReadonlyArray<DeadLetter.Received>) {
    const burials: Array<DeadLetter.Burial> = []
    const byId = new Map<Invoice.InvoiceId, Array<DeadLetter.Received>>()
    for (const one of received) {
      const id = idOf(one.message)
      if (id === undefined) {
        const reason = 'the value is not JSON like {"id": "<uuid>"}'
        burials.push({ received: one, kind: "Undecodable", reason, attempts: 1 })
      } else {
        byId.set(id, [...(byId.get(id) ?? []), one])
      }
    }
    const written = yield* decide(byId, burials)
    // last, so that a store that is away does not make a letter of them with every try
    yield* bury(burials)
    return written
  })

  const settleBatch = Perseverance.make({
    group,
    attempt: settle,
    ready: store.ready,
    bury,
    concurrency: options.concurrency ?? 3,
    retryMillis: options.retryMillis ?? 1_000,
    maxTries: options.maxTries ?? 10
  })

  const handleBatch = Effect.fnUntraced(function* (batch: MessageBatch, stopping: Deferred.Deferred<void>) {
    const attributes = { topic: batch.topic, consumer_group_id: group }
    yield* Metric.update(Metric.withAttributes(batchMessages, attributes), batch.messages.length)
    if (yield* settleBatch(batch, stopping)) {
      yield* Metric.update(Metric.withAttributes(consumed, attributes), batch.messages.length)
      yield* batch.acknowledge
    }
  })

  const run = Effect.gen(function* () {
    const stopping = yield* Deferred.make<void>()
    const inHand = yield* FiberSet.make<void, never>()
    const subscribed = yield* consumer.subscribe({ topic: topics.Pending, group }).pipe(
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
  }).pipe(
    Effect.scoped,
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the validator stopped", cause)
    )
  )

  return ValidateInvoices.of({ handle: (messages) => settle(messages.map((message) => ({ message }))), run })
})

const deadLetters = Metric.counter("dead_letters_total", {
  description: "Messages put on a dead-letter topic, by the topic they came from and the kind of reason",
  incremental: true
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
