/**
 * Group commit: with a transaction per request the disk's flushes limit the throughput. So one statement writes all
 * requests that wait at the same time, and each caller gets the outcome of its own row.
 *
 * It collects requests until `setImmediate` and no longer, so a lone request goes at once. When a statement fails and
 * one of its rows may be the cause, each request is tried alone, so that a bad row never fails a good one.
 *
 * A request has one deadline for its wait and its statement together: behind statements that Postgres does not answer,
 * the callers would otherwise wait for one deadline after the other. A request that has missed it is never sent.
 */
import { Clock, Effect, Exit, Fiber } from "effect"

export interface Options<Request, Outcome, E> {
  /** Statements in flight at once. */
  readonly workers: number
  /** Maximum number of requests in one statement; a function is asked before each one. */
  readonly maxBatch: number | (() => number)
  /** Answers one exit for each request, in order. Fails as a whole when the statement fails. */
  readonly write: (requests: ReadonlyArray<Request>) => Effect.Effect<ReadonlyArray<Exit.Exit<Outcome, E>>, E>
  /** Whether a statement's failure may be the fault of one row. */
  readonly blamesRow: (error: E) => boolean
  /** How long a request may take from its call to its outcome, in milliseconds. */
  readonly timeoutMillis: number
  /** The error of a request that has missed its deadline. */
  readonly timedOut: () => E
}

interface Waiting<Request, Outcome, E> {
  readonly request: Request
  /** When its deadline is, in milliseconds by the clock. */
  readonly due: number
  readonly resume: (effect: Effect.Effect<Outcome, E>) => void
  /** Called when the caller is interrupted; does nothing until the request's statement runs. */
  leave: () => void
}

interface Group<Request, Outcome, E> {
  readonly clock: Clock.Clock
  /** The requests whose statement does not run yet, the oldest first. */
  readonly waiting: Array<Waiting<Request, Outcome, E>>
  /** The requests whose callers still wait for an outcome, the oldest first. */
  readonly unanswered: Set<Waiting<Request, Outcome, E>>
  /** How many statements are in flight. */
  active: number
  /** Whether a fiber watches the deadlines. */
  isWatched: boolean
}

/**
 * Makes a function that adds a request to those that wait. The request of a caller that is interrupted before its
 * statement runs is removed from it; a statement whose callers have all been interrupted is cancelled.
 */
export const make = Effect.fnUntraced(function* <Request, Outcome, E>(options: Options<Request, Outcome, E>) {
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context())
  const clock = yield* Clock.Clock
  const group: Group<Request, Outcome, E> = {
    clock,
    waiting: [],
    unanswered: new Set(),
    active: 0,
    isWatched: false
  }
  return (request: Request): Effect.Effect<Outcome, E> =>
    Effect.callback((resume) => {
      const due = clock.currentTimeMillisUnsafe() + options.timeoutMillis
      const entry: Waiting<Request, Outcome, E> = { request, due, resume, leave: () => undefined }
      group.waiting.push(entry)
      group.unanswered.add(entry)
      if (group.active < options.workers) {
        group.active++
        Fiber.runIn(fork(drain(options, group)), scope)
      }
      if (!group.isWatched) {
        group.isWatched = true
        Fiber.runIn(fork(expire(options, group)), scope)
      }
      return Effect.sync(() => remove(group, entry))
    })
})

/** Takes out a request whose caller does not wait for it any longer. */
const remove = <Request, Outcome, E>(
  { unanswered, waiting }: Group<Request, Outcome, E>,
  entry: Waiting<Request, Outcome, E>
): void => {
  unanswered.delete(entry)
  const index = waiting.indexOf(entry)
  if (index === -1) {
    entry.leave()
  } else {
    waiting.splice(index, 1)
  }
}

/**
 * Fails the requests that miss their deadlines, until none is unanswered. All have the same time, so the oldest request
 * is always the next one: one timer serves them all.
 */
const expire = Effect.fnUntraced(function* <Request, Outcome, E>(
  options: Options<Request, Outcome, E>,
  group: Group<Request, Outcome, E>
): Effect.fn.Return<void> {
  while (true) {
    const [oldest] = group.unanswered
    if (oldest === undefined) {
      group.isWatched = false
      return
    }
    const millis = oldest.due - group.clock.currentTimeMillisUnsafe()
    if (millis > 0) {
      yield* Effect.sleep(`${Math.ceil(millis)} millis`)
    } else {
      remove(group, oldest)
      oldest.resume(Effect.fail(options.timedOut()))
    }
  }
})

/** Writes batch after batch until no request waits. */
const drain = Effect.fnUntraced(function* <Request, Outcome, E>(
  options: Options<Request, Outcome, E>,
  group: Group<Request, Outcome, E>
): Effect.fn.Return<void> {
  while (true) {
    yield* immediate
    const { maxBatch } = options
    const batch = group.waiting.splice(0, typeof maxBatch === "number" ? maxBatch : maxBatch())
    if (batch.length === 0) {
      group.active--
      return
    }
    yield* Effect.flatMap(Effect.forkChild(write(options, group, batch)), (fiber) => {
      leaveTogether(batch, () => fiber.interruptUnsafe())
      return Fiber.await(fiber)
    })
  }
})

/** Cancels the statement of a batch when the last of its callers has left. */
const leaveTogether = <Request, Outcome, E>(
  batch: ReadonlyArray<Waiting<Request, Outcome, E>>,
  cancel: () => void
): void => {
  let callers = batch.length
  for (const waiting of batch) {
    waiting.leave = () => {
      callers--
      if (callers === 0) cancel()
    }
  }
}

const write = <Request, Outcome, E>(
  options: Options<Request, Outcome, E>,
  group: Group<Request, Outcome, E>,
  batch: ReadonlyArray<Waiting<Request, Outcome, E>>
): Effect.Effect<void> => {
  const answer = (entry: Waiting<Request, Outcome, E>, outcome: Effect.Effect<Outcome, E>): void => {
    group.unanswered.delete(entry)
    entry.resume(outcome)
  }
  return Effect.matchCauseEffect(options.write(batch.map(({ request }) => request)), {
    onSuccess: (exits) =>
      Effect.sync(() => {
        for (const [index, entry] of batch.entries()) {
          answer(entry, exits[index] ?? Effect.die(new Error("a group commit lost the outcome of a row")))
        }
      }),
    onFailure: (cause) => {
      const failure = cause.reasons.find((reason) => reason._tag === "Fail")
      return failure !== undefined && batch.length > 1 && options.blamesRow(failure.error)
        ? Effect.forEach(
            batch,
            // not for a caller that has left meanwhile
            (one) => (group.unanswered.has(one) ? write(options, group, [one]) : Effect.void),
            { discard: true }
          )
        : Effect.sync(() => {
            for (const entry of batch) answer(entry, Exit.failCause(cause))
          })
    }
  })
}

const immediate = Effect.callback<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
