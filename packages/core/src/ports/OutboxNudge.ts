/**
 * A bell within one process: a store rings it after a commit, and a relay that waits for events looks at once instead of
 * at its next poll. Nothing depends on it: a ring that nobody hears costs a poll interval, one for nothing a look.
 */
import { Context, Effect } from "effect"

export interface Bell {
  readonly ring: Effect.Effect<void>
  /** How often it has rung so far. */
  readonly rings: Effect.Effect<number>
  /** Resolves once it has rung more often than that. */
  readonly after: (rings: number) => Effect.Effect<void>
}

export const make = (): Bell => {
  let count = 0
  const waiting = new Set<() => void>()
  return {
    ring: Effect.sync(() => {
      count++
      const now = [...waiting]
      waiting.clear()
      for (const wake of now) wake()
    }),
    rings: Effect.sync(() => count),
    after: (rings) =>
      Effect.callback((resume) => {
        const wake = (): void => resume(Effect.void)
        if (count > rings) {
          wake()
          return undefined
        }
        waiting.add(wake)
        return Effect.sync(() => waiting.delete(wake))
      })
  }
}

/** One for the process, unless another one is provided. */
export const OutboxNudge = Context.Reference<Bell>("@invoice/core/ports/OutboxNudge", { defaultValue: make })
