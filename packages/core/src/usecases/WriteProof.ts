/**
 * Proof that the store takes writes, for whoever has to tell a message that it refuses from a store that refuses every
 * message. One probe at a time serves everybody who waits for one, and after a failed probe the next one waits, with
 * back-off.
 */
import { Clock, Deferred, Effect, Exit, Semaphore } from "effect"
import { StoreUnavailable } from "../domain/InvoiceError.ts"

const firstWaitMillis = 50

/** Nothing when it is proved, else why it is not. */
export type Outcome = StoreUnavailable | undefined

/** For who stopped before there was a proof. */
export const calledOff: StoreUnavailable = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error("the probe was called off")
})

/**
 * Asks for a proof that begins after it was asked for: a probe that is under way already proves nothing about a failure
 * that came after its start. Within the wait after a failed probe the answer is that failure, at once.
 *
 * @param retryMillis longest wait between two probes while they fail, in milliseconds
 */
export const make = (writable: Effect.Effect<void, StoreUnavailable>, retryMillis: number): Effect.Effect<Outcome> => {
  const oneAtATime = Semaphore.makeUnsafe(1)
  let next: Deferred.Deferred<Outcome> | undefined
  let failed: { readonly outcome: StoreUnavailable; readonly times: number; readonly until: bigint } | undefined

  const probe: Effect.Effect<Outcome> = writable.pipe(
    Effect.catchDefect((cause) => Effect.fail(new StoreUnavailable({ kind: "unavailable", cause }))),
    // whatever the probe failed with: a store that does not take it is unavailable
    Effect.mapError(({ cause }) => new StoreUnavailable({ kind: "unavailable", cause })),
    Effect.matchEffect({
      onSuccess: () =>
        Effect.sync(() => {
          failed = undefined
          return undefined
        }),
      onFailure: (outcome) =>
        Effect.map(Clock.currentTimeNanos, (now) => {
          const times = (failed?.times ?? 0) + 1
          const millis = Math.min(retryMillis, firstWaitMillis * 2 ** Math.min(times - 1, 20))
          failed = { outcome, times, until: now + BigInt(Math.ceil(millis)) * 1_000_000n }
          return outcome
        })
    })
  )

  const probeUnlessFailed = Effect.flatMap(Clock.currentTimeNanos, (now) =>
    failed !== undefined && now < failed.until ? Effect.succeed(failed.outcome) : probe
  )

  return Effect.suspend(() => {
    if (next !== undefined) {
      return Deferred.await(next)
    }
    const mine = Deferred.makeUnsafe<Outcome>()
    next = mine
    const close = (): void => {
      if (next === mine) {
        next = undefined
      }
    }
    return oneAtATime
      .withPermits(1)(Effect.andThen(Effect.sync(close), probeUnlessFailed))
      .pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            close()
            Deferred.doneUnsafe(mine, Exit.isSuccess(exit) ? exit : Exit.succeed(calledOff))
          })
        )
      )
  })
}
