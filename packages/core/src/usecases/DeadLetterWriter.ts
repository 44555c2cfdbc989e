/** Writes dead letters until every one of them is durable. */
import { Effect, Metric, Result } from "effect"
import { type PublishRefused, PublishTransient } from "../domain/InvoiceError.ts"
import type { Message } from "../domain/Message.ts"
import type * as Timestamp from "../domain/Timestamp.ts"
import type { MessagePublisher } from "../ports/MessagePublisher.ts"
import * as DeadLetter from "./DeadLetter.ts"
import * as Unsent from "./Unsent.ts"

export interface Pending {
  readonly unhandled: DeadLetter.Unhandled
  readonly message: Message
  /** Whether the value is left out already, so that the record can't be made smaller. */
  readonly withoutValue: boolean
}

export interface Written {
  /** What is still to be written, in order. */
  readonly rest: ReadonlyArray<Pending>
  /**
   * Why `rest` is not written; undefined when it is empty. `PublishRefused` is final: the broker refuses the records
   * even without their values.
   */
  readonly failure: PublishTransient | PublishRefused | undefined
}

export const pending = (
  unhandled: ReadonlyArray<DeadLetter.Unhandled>,
  at: Timestamp.Timestamp
): ReadonlyArray<Pending> =>
  unhandled.map((unhandled) => ({ unhandled, message: DeadLetter.toMessage(unhandled, at), withoutValue: false }))

/**
 * One try. A dead letter has more headers than its message, so it may be too large where the message wasn't: a refused
 * dead letter is written again without its value.
 */
export const write = Effect.fnUntraced(function* (
  publish: MessagePublisher["Service"]["publish"],
  deadLetters: ReadonlyArray<Pending>
): Effect.fn.Return<Written> {
  let rest = deadLetters
  while (rest.length > 0) {
    const messages = rest.map(({ message }) => message)
    const sent = yield* publish(messages).pipe(
      Effect.catchDefect((cause) => Effect.fail(new PublishTransient({ cause }))),
      Effect.result
    )
    if (Result.isSuccess(sent)) {
      yield* written(rest)
      break
    }
    const { failure } = sent
    if (failure._tag === "PublishTransient") {
      return { rest, failure }
    }
    const unsent = Unsent.indexes(messages, failure)
    yield* written(rest.filter((_, index) => !unsent.has(index)))
    const refused = new Set(failure.records.map(({ index }) => rest[index]))
    rest = rest.filter((_, index) => unsent.has(index))
    const final = rest.filter((one) => refused.has(one) && one.withoutValue)
    if (final.length === refused.size) {
      yield* refusedForGood(final, failure)
      return { rest, failure }
    }
    rest = rest.map((one) => (refused.has(one) ? strip(one) : one))
  }
  return { rest: [], failure: undefined }
})

const strip = (one: Pending): Pending => ({
  ...one,
  message: DeadLetter.withoutValue(one.message),
  withoutValue: true
})

const written = (deadLetters: ReadonlyArray<Pending>): Effect.Effect<void> =>
  Effect.forEach(
    deadLetters,
    ({ unhandled: { kind, reason, received } }) => {
      const { key, topic } = received.message
      return Effect.andThen(
        Metric.update(Metric.withAttributes(writtenTotal, { topic, reason: kind }), 1),
        Effect.logError("message to dead letters").pipe(
          Effect.annotateLogs({ topic, key: key ?? "", partition: received.partition, offset: received.offset, reason })
        )
      )
    },
    { discard: true }
  )

/**
 * These dead letters can't be stored, and acknowledging their batch would lose the messages: the batch waits until
 * somebody repairs the topic.
 */
const refusedForGood = (deadLetters: ReadonlyArray<Pending>, { message }: PublishRefused): Effect.Effect<void> =>
  Effect.forEach(
    deadLetters,
    ({ message: { headers, key, topic } }) =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(refusedTotal, { topic }), 1),
        Effect.logError("dead letter refused, its batch waits").pipe(
          Effect.annotateLogs({ topic, key: key ?? "", headers, error: message })
        )
      ),
    { discard: true }
  )

const writtenTotal = Metric.counter("dead_letters_total", {
  description: "Messages put on a dead-letter topic, by the topic they came from and the kind of reason",
  incremental: true
})

const refusedTotal = Metric.counter("dead_letters_refused_total", {
  description: "Dead letters that the broker refused even without their value, by dead-letter topic; each try counts",
  incremental: true
})
