/**
 * Handling a batch until it is settled, whatever fails:
 *
 * - What is away is waited for, without end and with back-off: an outage never makes a dead letter.
 * - What keeps failing though the store answers is tried message by message, so that it fails alone.
 * - What then still fails becomes a dead letter, at once when the store refuses it for good, else after a bounded number
 *   of tries; but only when something else was written meanwhile. A store that answers and writes nothing (a full disk,
 *   a standby) refuses everything, and is an outage too.
 */
import { Deferred, Effect, Metric, Random, Result, Semaphore } from "effect"
import type { Burial, Received } from "./DeadLetter.ts"
import type { PublishTransient, StoreUnavailable } from "./InvoiceError.ts"
import type { MessageBatch } from "./ports/MessageConsumer.ts"

export type Failure = StoreUnavailable | PublishTransient

export interface Options {
  readonly group: string
  /** Handles messages, as one; answers how many effects were written. Handling again what is done must be harmless. */
  readonly attempt: (messages: ReadonlyArray<Received>) => Effect.Effect<number, Failure>
  /** Fails while the store does not answer. */
  readonly ready: Effect.Effect<void, unknown>
  readonly bury: (burials: ReadonlyArray<Burial>) => Effect.Effect<void, PublishTransient>
  /** Batches worked on at once; one that waits for its next try doesn't count. */
  readonly concurrency: number
  /** Longest wait between two tries, in milliseconds. */
  readonly retryMillis: number
  /** Tries of a message that fails alone, from 1. */
  readonly maxTries: number
}

/** Tries of a batch as a whole before it is taken apart, when it may be the fault of one message. */
const triesTogether = 3
const firstWaitMillis = 50
/** Messages that fail alone, one after the other, before any other is written. */
const failuresInVain = 3

const retries = Metric.counter("consumer_retries_total", {
  description: "Tries that failed, of a batch or of a message alone",
  incremental: true
})

/** `away`: nobody's fault. `doubtful`: may succeed later. `hopeless`: never will, as far as the store knows. */
interface Trouble {
  readonly kind: "away" | "doubtful" | "hopeless"
  readonly reason: string
}

const reasonOf = (failure: Failure): string =>
  failure.cause instanceof Error ? `${failure.message}: ${failure.cause.message}` : failure.message

const troubleOf = (failure: Failure): Trouble => ({
  kind: failure._tag === "PublishTransient" ? "away" : failure.retryable ? "doubtful" : "hopeless",
  reason: reasonOf(failure)
})

interface Alone {
  readonly received: Received
  readonly tries: number
  readonly trouble: Trouble | undefined
}

/**
 * A function that settles a batch. It answers false when it gave up because the batch is somebody else's by now, or
 * because `stopping` is done: the try in hand is finished then, and no other begun.
 */
export const make = (options: Options) => {
  const { bury, concurrency, group, maxTries, ready, retryMillis } = options
  const permits = Semaphore.makeUnsafe(concurrency)
  /** Effects that were written, by whatever batch: proof that the store works. */
  let written = 0

  const attempt = (messages: ReadonlyArray<Received>): Effect.Effect<Trouble | undefined> =>
    options.attempt(messages).pipe(
      Effect.map((count): Trouble | undefined => {
        written += count
        return undefined
      }),
      Effect.catch((failure) => Effect.succeed(troubleOf(failure))),
      Effect.catchDefect((defect) => Effect.succeed<Trouble>({ kind: "hopeless", reason: String(defect) })),
      permits.withPermits(1)
    )

  const answers = Effect.map(Effect.result(ready), Result.isSuccess)

  return Effect.fnUntraced(function* (batch: MessageBatch, stopping: Deferred.Deferred<void>) {
    const goesOn = Effect.map(batch.isHeld, (held) => held && !Deferred.isDoneUnsafe(stopping))

    const wait = Effect.fnUntraced(function* (tries: number) {
      const millis = Math.min(retryMillis, firstWaitMillis * 2 ** Math.min(tries - 1, 20))
      // not in step with the other batches
      const jittered = millis * (0.8 + 0.4 * (yield* Random.next))
      yield* Effect.raceFirst(Effect.sleep(`${Math.ceil(jittered)} millis`), Deferred.await(stopping))
    })

    const report = (trouble: Trouble, messages: number, tries: number): Effect.Effect<void> =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(retries, { topic: batch.topic, consumer_group_id: group }), 1),
        Effect.logWarning("not handled yet").pipe(
          Effect.annotateLogs({
            topic: batch.topic,
            partition: batch.partition,
            messages,
            tries,
            error: trouble.reason
          })
        )
      )

    /** True when it is settled, false when it was given up; else what has to be tried alone. */
    const together = Effect.fnUntraced(function* (messages: ReadonlyArray<Received>) {
      for (let tries = 1; yield* goesOn; tries++) {
        const trouble = yield* attempt(messages)
        if (trouble === undefined) {
          return true
        }
        yield* report(trouble, messages.length, tries)
        const blamesOne = trouble.kind === "hopeless" || (trouble.kind === "doubtful" && tries >= triesTogether)
        if (blamesOne && (yield* answers)) {
          return messages
        }
        yield* wait(tries)
      }
      return false
    })

    const buryAll = Effect.fnUntraced(function* (lost: ReadonlyArray<Alone>) {
      const burials = lost.map(
        ({ received, tries, trouble }): Burial => ({
          received,
          kind: trouble?.kind === "hopeless" ? "Refused" : "TriedTooOften",
          reason: trouble?.reason ?? "",
          attempts: tries
        })
      )
      for (let tries = 1; yield* goesOn; tries++) {
        const buried = yield* Effect.result(bury(burials))
        if (Result.isSuccess(buried)) {
          return true
        }
        yield* report(troubleOf(buried.failure), burials.length, tries)
        yield* wait(tries)
      }
      return false
    })

    const apart = Effect.fnUntraced(function* (messages: ReadonlyArray<Received>) {
      const before = written
      let rest = messages.map((received): Alone => ({ received, tries: 0, trouble: undefined }))
      for (let round = 1; ; round++) {
        const failed: Array<Alone> = []
        let untried: ReadonlyArray<Alone> = []
        for (const [index, { received, tries }] of rest.entries()) {
          if (!(yield* goesOn)) {
            return false
          }
          const trouble = yield* attempt([received])
          if (trouble === undefined) {
            continue
          }
          yield* report(trouble, 1, tries + 1)
          if (trouble.kind === "away" || !(yield* answers)) {
            // an outage: no message's fault, and no use to try the others now
            untried = rest.slice(index)
            break
          }
          failed.push({ received, tries: tries + 1, trouble })
          if (failed.length === failuresInVain && written === before) {
            // no proof that the store writes at all: a few tries a round are enough to see it come back
            untried = rest.slice(index + 1)
            break
          }
        }
        const isLost = ({ tries, trouble }: Alone): boolean =>
          written > before && (trouble?.kind === "hopeless" || tries >= maxTries)
        const lost = failed.filter(isLost)
        rest = [...untried, ...failed.filter((one) => !isLost(one))]
        if (lost.length > 0 && !(yield* buryAll(lost))) {
          return false
        }
        if (rest.length === 0) {
          return true
        }
        yield* wait(round)
      }
    })

    const outcome = yield* together(
      batch.messages.map((message, index): Received => {
        const offset = batch.offsets[index]
        return { message, partition: batch.partition, ...(offset === undefined ? {} : { offset }) }
      })
    )
    return typeof outcome === "boolean" ? outcome : yield* apart(outcome)
  })
}
