/** Writes dead letters until every one of them is durable. */
import { Effect, Metric, Result } from "effect"
import * as DeadLetter from "./DeadLetter.ts"
import { type PublishRefused, PublishTransient } from "./InvoiceError.ts"
import type { Message } from "./InvoiceEvent.ts"
import type { MessagePublisher } from "./ports/MessagePublisher.ts"
import type * as Timestamp from "./Timestamp.ts"
import * as Unsent from "./Unsent.ts"

export interface Pending {
  readonly burial: DeadLetter.Burial
  readonly message: Message
  /** It has lost its value already, so there is nothing left to leave out. */
  readonly withoutValue: boolean
}

export interface Written {
  /** What is still to be written, in order. */
  readonly rest: ReadonlyArray<Pending>
  /** Why; none when there is no rest. A refusal is final: some record is refused even without its value. */
  readonly failure: PublishTransient | PublishRefused | undefined
}

export const pending = (burials: ReadonlyArray<DeadLetter.Burial>, at: Timestamp.Timestamp): ReadonlyArray<Pending> =>
  burials.map((burial) => ({ burial, message: DeadLetter.bury(burial, at), withoutValue: false }))

/**
 * One try. A dead letter may be too large where its message wasn't, since it has more headers: what the broker refuses is
 * written again without its value.
 */
export const write = Effect.fnUntraced(function* (
  publish: MessagePublisher["Service"]["publish"],
  letters: ReadonlyArray<Pending>
): Effect.fn.Return<Written> {
  let rest = letters
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
    const final = rest.filter((letter) => refused.has(letter) && letter.withoutValue)
    if (final.length === refused.size) {
      yield* refusedForGood(final, failure)
      return { rest, failure }
    }
    rest = rest.map((letter) => (refused.has(letter) ? strip(letter) : letter))
  }
  return { rest: [], failure: undefined }
})

const strip = (letter: Pending): Pending => ({
  ...letter,
  message: DeadLetter.withoutValue(letter.message),
  withoutValue: true
})

const written = (letters: ReadonlyArray<Pending>): Effect.Effect<void> =>
  Effect.forEach(
    letters,
    ({ burial: { kind, reason, received } }) => {
      const { key, topic } = received.message
      return Effect.andThen(
        Metric.update(Metric.withAttributes(deadLetters, { topic, reason: kind }), 1),
        Effect.logError("message to dead letters").pipe(
          Effect.annotateLogs({ topic, key: key ?? "", partition: received.partition, offset: received.offset, reason })
        )
      )
    },
    { discard: true }
  )

/** Nowhere left to put it, and acknowledging it would lose it: its batch waits until somebody mends the topic. */
const refusedForGood = (letters: ReadonlyArray<Pending>, { message }: PublishRefused): Effect.Effect<void> =>
  Effect.forEach(
    letters,
    ({ message: { headers, key, topic } }) =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(deadLettersRefused, { topic }), 1),
        Effect.logError("dead letter refused, its batch waits").pipe(
          Effect.annotateLogs({ topic, key: key ?? "", headers, error: message })
        )
      ),
    { discard: true }
  )

const deadLetters = Metric.counter("dead_letters_total", {
  description: "Messages put on a dead-letter topic, by the topic they came from and the kind of reason",
  incremental: true
})

const deadLettersRefused = Metric.counter("dead_letters_refused_total", {
  description: "Dead letters that the broker refused even without their value, by dead-letter topic; each try counts",
  incremental: true
})
