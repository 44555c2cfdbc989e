/**
 * Group commit: with a transaction per request the disk's flushes limit the throughput. So one statement writes all
 * requests that wait at the same time, and each caller gets the outcome of its own row.
 *
 * It collects requests until `setImmediate` and no longer, so a lone request goes at once. When a statement fails and
 * one of its rows may be the cause, each request is tried alone, so that a bad row never fails a good one.
 */
import { Effect, Exit, Fiber } from "effect"

export interface Options<Request, Outcome, E> {
  /** Statements in flight at once. */
  readonly workers: number
  /** Maximum number of requests in one statement; a function is asked before each one. */
  readonly maxBatch: number | (() => number)
  /** Answers one exit for each request, in order. Fails as a whole when the statement fails. */
  readonly write: (requests: ReadonlyArray<Request>) => Effect.Effect<ReadonlyArray<Exit.Exit<Outcome, E>>, E>
  /** Whether a statement's failure may be the fault of one row. */
  readonly blamesRow: (error: E) => boolean
}

interface Waiting<Request, Outcome, E> {
  readonly request: Request
  readonly resume: (effect: Effect.Effect<Outcome, E>) => void
  /** Called when the caller is interrupted; does nothing until the request's statement runs. */
  leave: () => void
}

/** The requests that wait, and how many statements are in flight. */
interface Group<Request, Outcome, E> {
  readonly waiting: Array<Waiting<Request, Outcome, E>>
  active: number
}

/**
 * Makes a function that adds a request to those that wait. The request of a caller that is interrupted before its
 * statement runs is removed from it; a statement whose callers have all been interrupted is cancelled.
 */
export const make = Effect.fnUntraced(function* <Request, Outcome, E>(options: Options<Request, Outcome, E>) {
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context())
  const group: Group<Request, Outcome, E> = { waiting: [], active: 0 }
  return (request: Request): Effect.Effect<Outcome, E> =>
    Effect.callback((resume) => {
      const entry: Waiting<Request, Outcome, E> = { request, resume, leave: () => undefined }
      group.waiting.push(entry)
      if (group.active < options.workers) {
        group.active++
        Fiber.runIn(fork(drain(options, group)), scope)
      }
      return Effect.sync(() => {
        const index = group.waiting.indexOf(entry)
        if (index === -1) {
          entry.leave()
        } else {
          group.waiting.splice(index, 1)
        }
      })
    })
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
    yield* Effect.flatMap(Effect.forkChild(write(options, batch)), (fiber) => {
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
  batch: ReadonlyArray<Waiting<Request, Outcome, E>>
): Effect.Effect<void> =>
  Effect.matchCauseEffect(options.write(batch.map(({ request }) => request)), {
    onSuccess: (exits) =>
      Effect.sync(() => {
        for (const [index, { resume }] of batch.entries()) {
          resume(exits[index] ?? Effect.die(new Error("a group commit lost the outcome of a row")))
        }
      }),
    onFailure: (cause) => {
      const failure = cause.reasons.find((reason) => reason._tag === "Fail")
      return failure !== undefined && batch.length > 1 && options.blamesRow(failure.error)
        ? Effect.forEach(batch, (one) => write(options, [one]), { discard: true })
        : Effect.sync(() => {
            for (const { resume } of batch) {
              resume(Exit.failCause(cause))
            }
          })
    }
  })

const immediate = Effect.callback<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
