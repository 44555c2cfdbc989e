/**
 * The budget of reading for watches that are behind: few reads at a time, in the order in which they were asked for, and
 * pauses between them while the process or the store is busy. Without it, a few hundred watches from the beginning
 * leave nothing of either for those who create invoices.
 */
import { Clock, Effect, Semaphore } from "effect"

/** Reads at a time. */
const permits = 2
/** A read that takes longer than this shows that the store is busy, or has much to do for it. */
const quickMillis = 20
/** How long a permit rests after a read that was not quick, in times of what it took. */
const restPerRead = 4
/** How late a timer may be before the process counts as busy. */
const lateMillis = 3
/** How long a permit rests, in times of how late a timer was: about a fifth of a busy process is left to watches. */
const restPerLate = 40
const longestRest = 2_000

export type CatchUpReads = <A, E, R>(read: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How much later than asked a timer fires, in milliseconds: the other work of the process comes first. */
const lateness = (clock: Clock.Clock): Effect.Effect<number> =>
  Effect.suspend(() => {
    const due = clock.currentTimeMillisUnsafe() + 1
    return Effect.map(Effect.sleep("1 millis"), () => Math.max(0, clock.currentTimeMillisUnsafe() - due))
  })

export const make: Effect.Effect<CatchUpReads> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const semaphore = yield* Semaphore.make(permits)

  /** Gives the permit back after the rest that a read of this length asks for. */
  const rest = (took: number): Effect.Effect<void> =>
    Effect.flatMap(lateness(clock), (late) => {
      const millis = (took > quickMillis ? restPerRead * took : 0) + (late > lateMillis ? restPerLate * late : 0)
      return millis === 0 ? Effect.void : Effect.sleep(`${Math.min(millis, longestRest)} millis`)
    }).pipe(Effect.ensuring(semaphore.release(1)))

  return (read) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.andThen(
        restore(semaphore.take(1)),
        Effect.suspend(() => {
          const startedAt = clock.currentTimeMillisUnsafe()
          return Effect.onExit(restore(read), () =>
            Effect.forkDetach(rest(clock.currentTimeMillisUnsafe() - startedAt))
          )
        })
      )
    )
})
