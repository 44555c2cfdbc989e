/**
 * Deadlines for calls that may never be answered: by a stopped server, or over a connection that a firewall has cut.
 *
 * `Effect.timeout` waits until the interrupted effect has cleaned up, and cancelling a statement on a dead connection
 * takes seconds. Here the caller goes on at the deadline, and the clean-up ends in the background.
 */
import { Effect, Fiber } from "effect"

/** Fails with `orElse` when there is no outcome after `millis`, which is greater than 0. */
export const within = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  { millis, orElse }: { readonly millis: number; readonly orElse: () => E2 }
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(Effect.interruptible(effect)), (fiber) => {
      const giveUp = Effect.sync(() => fiber.interruptUnsafe())
      return restore(
        Effect.timeoutOrElse(Fiber.join(fiber), {
          duration: `${millis} millis`,
          orElse: () => Effect.andThen(giveUp, Effect.fail(orElse()))
        })
      ).pipe(Effect.onInterrupt(() => giveUp))
    })
  )
