/**
 * Group commit: a transaction per request is bound by the disk's flush, so requests that wait at the same time are
 * written by one statement, and each caller gets the outcome of its own row.
 *
 * Collects until `setImmediate` and no longer: a lone request goes at once. One that fails for good with its neighbours
 * is tried alone, so that a bad row never fails a good one.
 */
import { Effect, Exit, Fiber } from "effect"

export interface Options<Request, Outcome, E> {
  /** Statements in flight at once. */
  readonly workers: number
  /** Most requests in one statement. */
  readonly maxBatch: number
  /** One exit for each request, in order. Failing as a whole is a failure of the statement. */
  readonly write: (requests: ReadonlyArray<Request>) => Effect.Effect<ReadonlyArray<Exit.Exit<Outcome, E>>, E>
  /** Whether a statement's failure may be the fault of one row. */
  readonly blamesRow: (error: E) => boolean
}

interface Waiting<Request, Outcome, E> {
  readonly request: Request
  readonly resume: (effect: Effect.Effect<Outcome, E>) => void
  /** What to do when its caller leaves: nothing before its statement is being made. */
  leave: () => void
}

/**
 * A function that joins whatever is waiting. A caller that is interrupted before its statement is taken out of it; one
 * whose callers have all left is cancelled.
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
