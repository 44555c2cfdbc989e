/**
 * Handling a batch until it is settled, whatever fails:
 *
 * - A store that is unavailable is waited for, without end and with back-off: an outage never makes a dead letter.
 * - What fails otherwise is tried message by message, so that it fails alone.
 * - What then still fails becomes a dead letter, at once when the store refuses it for good, else after a bounded number
 *   of tries; but a try counts only when the store proved before and after it, by a write of its own, that it takes
 *   writes: what failed while the store did not may be the last word of an outage.
 * - Messages of one key keep their order: what comes behind one that failed is tried when that one is settled.
 * - A dead letter that the dead-letter topic does not take holds its batch: acknowledging it would lose the message.
 */
import { Clock, Deferred, Effect, Metric, Random, Result, Semaphore } from "effect"
import { type PublishRefused, type PublishTransient, StoreUnavailable } from "../domain/InvoiceError.ts"
import * as Timestamp from "../domain/Timestamp.ts"
import type { MessageBatch } from "../ports/MessageConsumer.ts"
import type { MessagePublisher } from "../ports/MessagePublisher.ts"
import type { Received, Unhandled } from "./DeadLetter.ts"
import * as DeadLetterWriter from "./DeadLetterWriter.ts"
import * as WriteProof from "./WriteProof.ts"

export interface Options {
  readonly group: string
  /**
   * Handles messages, as one; answers those that are to be dead letters whatever the store does. Handling again what is
   * done must be harmless.
   */
  readonly attempt: (messages: ReadonlyArray<Received>) => Effect.Effect<ReadonlyArray<Unhandled>, StoreUnavailable>
  /** Whether the store takes writes, by a probe that begins after it was asked for. */
  readonly proof: Effect.Effect<WriteProof.Outcome>
  /** Publishes dead letters, as in `MessagePublisher`. */
  readonly publish: MessagePublisher["Service"]["publish"]
  /** Batches worked on at once; one that waits for its next try doesn't count. */
  readonly concurrency: number
  /** Longest wait between two tries, in milliseconds. */
  readonly retryMillis: number
  /** Tries of a message that fails alone, from 1. */
  readonly maxTries: number
}

/** What a batch waits for: the store, or its dead-letter topic. */
export type Trouble = StoreUnavailable | PublishTransient | PublishRefused

/** Tries of a batch as a whole before it is taken apart, when it may be the fault of one message. */
const triesTogether = 3
const firstWaitMillis = 50

const retries = Metric.counter("consumer_retries_total", {
  description: "Tries that failed, of a batch or of a message alone",
  incremental: true
})

/** What a person needs to know: drivers wrap the server's words in words of their own. */
const reasonOf = (failure: Trouble): string => {
  let innermost: unknown = failure
  for (let depth = 0; depth < 8 && innermost instanceof Error && innermost.cause !== undefined; depth++) {
    innermost = innermost.cause
  }
  return innermost === failure
    ? failure.message
    : `${failure.message}: ${innermost instanceof Error ? innermost.message : String(innermost)}`
}

/** What is shared by the batches in hand. */
interface Shared extends Options {
  readonly permits: Semaphore.Semaphore
  /** What each batch that waits waits for. */
  readonly waiting: Map<MessageBatch, Trouble>
}

export interface Settling {
  /**
   * Settles a batch. It answers false when it gave up because the batch is somebody else's by now, or because `stopping`
   * is done: the try in hand is finished then, and no other begun.
   */
  readonly settle: (batch: MessageBatch, stopping: Deferred.Deferred<void>) => Effect.Effect<boolean>
  /** What a batch in hand waits for, if any does. */
  readonly trouble: () => Trouble | undefined
}

export const make = (options: Options): Settling => {
  const waiting = new Map<MessageBatch, Trouble>()
  const shared: Shared = {
    ...options,
    permits: Semaphore.makeUnsafe(options.concurrency),
    waiting
  }
  return {
    settle: (batch, stopping) =>
      Effect.ensuring(
        together(hold(shared, batch, stopping), receivedOf(batch)),
        Effect.sync(() => waiting.delete(batch))
      ),
    trouble: () => waiting.values().next().value
  }
}

const receivedOf = ({ messages, offsets, partition }: MessageBatch): ReadonlyArray<Received> =>
  messages.map((message, index) => {
    const offset = offsets[index]
    return { message, partition, ...(offset === undefined ? {} : { offset }) }
  })

/** A batch in hand. */
type Held = ReturnType<typeof hold>

const hold = (shared: Shared, batch: MessageBatch, stopping: Deferred.Deferred<void>) => {
  const { group, permits, retryMillis, waiting } = shared
  const attributes = { topic: batch.topic, consumer_group_id: group }
  return {
    ...shared,
    /** A stop doesn't wait for it. */
    proof: Effect.raceFirst(shared.proof, Effect.as(Deferred.await(stopping), WriteProof.calledOff)),
    isHeld: batch.isHeld,
    goesOn: Effect.map(batch.isHeld, (held) => held && !Deferred.isDoneUnsafe(stopping)),
    /** What dies is refused: trying it again would end as it did. */
    attempt: (
      messages: ReadonlyArray<Received>
    ): Effect.Effect<Result.Result<ReadonlyArray<Unhandled>, StoreUnavailable>> =>
      shared.attempt(messages).pipe(
        Effect.catchDefect((cause) => Effect.fail(new StoreUnavailable({ kind: "permanent", cause }))),
        Effect.result,
        permits.withPermits(1)
      ),
    waitsFor: (trouble: Trouble | undefined): void => {
      if (trouble === undefined) {
        waiting.delete(batch)
      } else {
        waiting.set(batch, trouble)
      }
    },
    pause: Effect.fnUntraced(function* (tries: number) {
      const millis = Math.min(retryMillis, firstWaitMillis * 2 ** Math.min(tries - 1, 20))
      // not in step with the other batches
      const jittered = millis * (0.8 + 0.4 * (yield* Random.next))
      yield* Effect.raceFirst(Effect.sleep(`${Math.ceil(jittered)} millis`), Deferred.await(stopping))
    }),
    report: (trouble: Trouble, messages: number, tries: number): Effect.Effect<void> =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(retries, attributes), 1),
        Effect.logWarning("not handled yet").pipe(
          Effect.annotateLogs({
            topic: batch.topic,
            partition: batch.partition,
            messages,
            tries,
            error: reasonOf(trouble)
          })
        )
      )
  }
}

/** All at once, for as long as nothing says that it is the fault of one of them. */
const together = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Received>) {
  let retryable = 0
  for (let tries = 1; yield* held.goesOn; tries++) {
    const tried = yield* held.attempt(messages)
    if (Result.isSuccess(tried)) {
      held.waitsFor(undefined)
      return yield* writeDeadLetters(held, tried.success)
    }
    const { failure } = tried
    yield* held.report(failure, messages.length, tries)
    if (failure.kind === "retryable") {
      retryable += 1
    }
    if (failure.kind === "permanent" || retryable >= triesTogether) {
      const unproven = yield* held.proof
      held.waitsFor(unproven)
      if (unproven === undefined) {
        return yield* apart(held, messages)
      }
    } else {
      held.waitsFor(failure.kind === "unavailable" ? failure : undefined)
    }
    yield* held.pause(tries)
  }
  return false
})

/** A message that is tried alone. */
interface Alone {
  readonly received: Received
  /** Tries that failed and count. */
  readonly tries: number
}

const apart = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Received>) {
  let rest: ReadonlyArray<Alone> = messages.map((received) => ({ received, tries: 0 }))
  // or they would not be tried alone
  let proved = true
  for (let rounds = 1; yield* held.goesOn; rounds++) {
    const { left, lost, outage, ...then } = yield* tryEach(held, rest, proved)
    proved = then.proved
    if (!(yield* writeDeadLetters(held, lost))) {
      return false
    }
    if (left.length === 0) {
      return true
    }
    held.waitsFor(outage)
    yield* held.pause(rounds)
    rest = left
  }
  return false
})

/**
 * A round: each once, up to the first sign of an outage. `proved` says whether the store has proved that it takes writes
 * since the last one.
 */
const tryEach = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Alone>, provedBefore: boolean) {
  const left: Array<Alone> = []
  const lost: Array<Unhandled> = []
  const keys = new Set<string>()
  let outage: StoreUnavailable | undefined
  let proved = provedBefore
  for (const one of messages) {
    const { key } = one.received.message
    if (outage !== undefined || (key !== undefined && keys.has(key)) || !(yield* held.goesOn)) {
      left.push(one)
      continue
    }
    const tried = yield* held.attempt([one.received])
    if (Result.isSuccess(tried)) {
      lost.push(...tried.success)
      continue
    }
    const { failure } = tried
    yield* held.report(failure, 1, one.tries + 1)
    outage = failure.kind === "unavailable" ? failure : yield* held.proof
    const tries = one.tries + (proved && outage === undefined ? 1 : 0)
    proved = outage === undefined
    if (tries > one.tries && (failure.kind === "permanent" || tries >= held.maxTries)) {
      lost.push(unhandledOf(one.received, failure, tries))
    } else {
      left.push({ ...one, tries })
    }
    if (key !== undefined) {
      keys.add(key)
    }
  }
  return { left, lost, outage, proved }
})

const unhandledOf = (received: Received, failure: StoreUnavailable, attempts: number): Unhandled => ({
  received,
  kind: failure.kind === "permanent" ? "Refused" : "TriedTooOften",
  reason: reasonOf(failure),
  attempts
})

const writeDeadLetters = Effect.fnUntraced(function* (held: Held, unhandled: ReadonlyArray<Unhandled>) {
  const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
  let rest = DeadLetterWriter.pending(unhandled, at)
  for (let tries = 1; rest.length > 0; tries++) {
    // the first try belongs to the one in hand
    if (!(yield* tries === 1 ? held.isHeld : held.goesOn)) {
      return false
    }
    const written = yield* DeadLetterWriter.write(held.publish, rest)
    rest = written.rest
    held.waitsFor(written.failure)
    if (written.failure !== undefined) {
      yield* held.report(written.failure, rest.length, tries)
      yield* held.pause(tries)
    }
  }
  return true
})
