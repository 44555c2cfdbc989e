/**
 * A signal within one process: a store notifies it after a commit, and a relay that waits for events reads at once
 * instead of at its next poll. Nothing depends on it: a missed signal costs one poll interval, a spurious one costs one
 * query.
 */
import { Context, Effect } from "effect"

export interface Signal {
  readonly notify: Effect.Effect<void>
  /** How often it was notified so far. */
  readonly count: Effect.Effect<number>
  /** Resolves once it was notified more often than that. */
  readonly after: (count: number) => Effect.Effect<void>
}

export const make = (): Signal => {
  let count = 0
  const waiting = new Set<() => void>()
  return {
    notify: Effect.sync(() => {
      count++
      const now = [...waiting]
      waiting.clear()
      for (const wake of now) wake()
    }),
    count: Effect.sync(() => count),
    after: (seen) =>
      Effect.callback((resume) => {
        const wake = (): void => resume(Effect.void)
        if (count > seen) {
          wake()
          return undefined
        }
        waiting.add(wake)
        return Effect.sync(() => waiting.delete(wake))
      })
  }
}

/** One for the process, unless another one is provided. */
export const OutboxSignal = Context.Reference<Signal>("@invoice/core/ports/OutboxSignal", { defaultValue: make })
