/**
 * Proof that the store takes writes. It distinguishes a store that refuses one message from a store that refuses every
 * message. One probe runs at a time and serves all who wait for it; after a failed probe the next one waits, with
 * back-off.
 */
import { Clock, Deferred, Effect, Exit, Semaphore } from "effect"
import { StoreUnavailable } from "../domain/InvoiceError.ts"

const firstWaitMillis = 50

/** Undefined when the store takes writes, else why that is not proved. */
export type Outcome = StoreUnavailable | undefined

/** The outcome for a caller that stops before there is a proof. */
export const calledOff: StoreUnavailable = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error("the probe was called off")
})

/**
 * Waits for a probe that begins after the call: a probe that is already under way proves nothing about a failure that
 * came after its start. While the wait after a failed probe lasts, the answer is that failure, at once.
 *
 * @param retryMillis longest wait between two probes while they fail, in milliseconds
 */
export const make = (writable: Effect.Effect<void, StoreUnavailable>, retryMillis: number): Effect.Effect<Outcome> => {
  const oneAtATime = Semaphore.makeUnsafe(1)
  let next: Deferred.Deferred<Outcome> | undefined
  let failed: { readonly outcome: StoreUnavailable; readonly times: number; readonly until: bigint } | undefined

  const probe: Effect.Effect<Outcome> = writable.pipe(
    Effect.catchDefect((cause) => Effect.fail(new StoreUnavailable({ kind: "unavailable", cause }))),
    // whatever kind the failure has: a store that doesn't take the probe is unavailable
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
