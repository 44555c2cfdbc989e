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
  /** Maximum number of requests in one statement. */
  readonly maxBatch: number
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

/**
 * Makes a function that adds a request to those that wait. The request of a caller that is interrupted before its
 * statement runs is removed from it; a statement whose callers have all been interrupted is cancelled.
 */
export const make = Effect.fnUntraced(function* <Request, Outcome, E>(options: Options<Request, Outcome, E>) {
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context())
  const waiting: Array<Waiting<Request, Outcome, E>> = []
  let active = 0

  const write = (batch: ReadonlyArray<Waiting<Request, Outcome, E>>): Effect.Effect<void> =>
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
          ? Effect.forEach(batch, (one) => write([one]), { discard: true })
          : Effect.sync(() => {
              for (const { resume } of batch) {
                resume(Exit.failCause(cause))
              }
            })
      }
    })

  const drain: Effect.Effect<void> = Effect.gen(function* () {
    while (true) {
      yield* immediate
      const batch = waiting.splice(0, options.maxBatch)
      if (batch.length === 0) {
        active--
        return
      }
      yield* Effect.flatMap(Effect.forkChild(write(batch)), (fiber) => {
        let callers = batch.length
        for (const waiting of batch) {
          waiting.leave = () => {
            callers--
            if (callers === 0) {
              fiber.interruptUnsafe()
            }
          }
        }
        return Fiber.await(fiber)
      })
    }
  })

  return (request: Request): Effect.Effect<Outcome, E> =>
    Effect.callback((resume) => {
      const entry: Waiting<Request, Outcome, E> = { request, resume, leave: () => undefined }
      waiting.push(entry)
      if (active < options.workers) {
        active++
        Fiber.runIn(fork(drain), scope)
      }
      return Effect.sync(() => {
        const index = waiting.indexOf(entry)
        if (index === -1) {
          entry.leave()
        } else {
          waiting.splice(index, 1)
        }
      })
    })
})

const immediate = Effect.callback<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
