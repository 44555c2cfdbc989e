/**
 * Handles a batch until it is settled, whatever fails:
 *
 * - A store that is unavailable is waited for, without end and with back-off: an outage never makes a dead letter.
 * - After any other failure the messages are tried one by one, so that only the message at fault fails.
 * - A message that then still fails becomes a dead letter: at once when the store refuses it for good, else after a
 *   bounded number of tries. A try counts only when the store proved, before and after it, by a write of its own, that
 *   it takes writes: without that proof the failure may belong to an outage.
 * - Messages of one key keep their order: a message behind a failed one of its key is tried when that one is settled.
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
   * Handles messages together; answers those that become dead letters whatever the store does. Handling a message again
   * must be harmless.
   */
  readonly attempt: (messages: ReadonlyArray<Received>) => Effect.Effect<ReadonlyArray<Unhandled>, StoreUnavailable>
  /** Whether the store takes writes, by a probe that begins after the call. */
  readonly proof: Effect.Effect<WriteProof.Outcome>
  /** Publishes dead letters, as in `MessagePublisher`. */
  readonly publish: MessagePublisher["Service"]["publish"]
  /** Batches worked on at once; one that waits for its next try doesn't count. */
  readonly concurrency: number
  /** Longest wait between two tries, in milliseconds. */
  readonly retryMillis: number
  /** Counted tries after which a message that keeps failing alone becomes a dead letter, from 1. */
  readonly maxTries: number
}

/** What a batch waits for: the store, or its dead-letter topic. */
export type Trouble = StoreUnavailable | PublishTransient | PublishRefused

/** Retryable failures of a whole batch before its messages are tried one by one. */
const batchTries = 3
const firstWaitMillis = 50

const retries = Metric.counter("consumer_retries_total", {
  description: "Tries that failed, of a batch or of a message alone",
  incremental: true
})

/** The innermost cause, for people: drivers wrap the server's message in messages of their own. */
const reasonOf = (failure: Trouble): string => {
  let innermost: unknown = failure
  for (let depth = 0; depth < 8 && innermost instanceof Error && innermost.cause !== undefined; depth++) {
    innermost = innermost.cause
  }
  return innermost === failure
    ? failure.message
    : `${failure.message}: ${innermost instanceof Error ? innermost.message : String(innermost)}`
}

/** What all batches share. */
interface Shared extends Options {
  readonly permits: Semaphore.Semaphore
  /** What each waiting batch waits for. */
  readonly waiting: Map<MessageBatch, Trouble>
}

export interface Settling {
  /**
   * Settles a batch. Answers false when it gave up, because the batch is no longer held or because `stopping` is done:
   * then the current try is finished, and no other is begun.
   */
  readonly settle: (batch: MessageBatch, stopping: Deferred.Deferred<void>) => Effect.Effect<boolean>
  /** What one of the waiting batches waits for; undefined when none waits. */
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
        tryTogether(hold(shared, batch, stopping), receivedOf(batch)),
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

/** A batch that is being settled. */
type Held = ReturnType<typeof hold>

const hold = (shared: Shared, batch: MessageBatch, stopping: Deferred.Deferred<void>) => {
  const { group, permits, retryMillis, waiting } = shared
  const attributes = { topic: batch.topic, consumer_group_id: group }
  return {
    ...shared,
    /** A stop doesn't wait for the probe. */
    proof: Effect.raceFirst(shared.proof, Effect.as(Deferred.await(stopping), WriteProof.calledOff)),
    isHeld: batch.isHeld,
    goesOn: Effect.map(batch.isHeld, (held) => held && !Deferred.isDoneUnsafe(stopping)),
    /** A defect counts as a refusal: another try would end in the same way. */
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
      // jittered, so that the batches don't retry in step
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

/** Tries all messages together, until the failure may be the fault of one of them. */
const tryTogether = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Received>) {
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
    if (failure.kind === "permanent" || retryable >= batchTries) {
      const unproven = yield* held.proof
      held.waitsFor(unproven)
      if (unproven === undefined) {
        return yield* tryOneByOne(held, messages)
      }
    } else {
      held.waitsFor(failure.kind === "unavailable" ? failure : undefined)
    }
    yield* held.pause(tries)
  }
  return false
})

/** A message that is tried alone. */
interface Single {
  readonly received: Received
  /** Failed tries that count. */
  readonly tries: number
}

const tryOneByOne = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Received>) {
  let rest: ReadonlyArray<Single> = messages.map((received) => ({ received, tries: 0 }))
  // a proof has just succeeded, else the messages would not be tried one by one
  let proved = true
  for (let rounds = 1; yield* held.goesOn; rounds++) {
    const { left, outage, unhandled, ...round } = yield* tryEach(held, rest, proved)
    proved = round.proved
    if (!(yield* writeDeadLetters(held, unhandled))) {
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
 * One round: tries each message once, up to the first sign of an outage. `provedBefore` says whether the store has
 * proved that it takes writes since the last such sign.
 */
const tryEach = Effect.fnUntraced(function* (held: Held, messages: ReadonlyArray<Single>, provedBefore: boolean) {
  const left: Array<Single> = []
  const unhandled: Array<Unhandled> = []
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
      unhandled.push(...tried.success)
      continue
    }
    const { failure } = tried
    yield* held.report(failure, 1, one.tries + 1)
    outage = failure.kind === "unavailable" ? failure : yield* held.proof
    const tries = one.tries + (proved && outage === undefined ? 1 : 0)
    proved = outage === undefined
    if (tries > one.tries && (failure.kind === "permanent" || tries >= held.maxTries)) {
      unhandled.push(unhandledOf(one.received, failure, tries))
    } else {
      left.push({ ...one, tries })
    }
    if (key !== undefined) {
      keys.add(key)
    }
  }
  return { left, outage, proved, unhandled }
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
    // the first write belongs to the current try of the batch, which a stop lets finish
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
