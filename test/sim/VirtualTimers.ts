/**
 * kafkajs uses globals for timers, the time of day and random numbers. While a simulation runs, the engine replaces
 * these globals: a timer belongs to the program whose code set it.
 */
import type { Random } from "../faults/Random.ts"
import type { Engine, Planned } from "./Engine.ts"

/** Runs with the globals replaced, and puts them back. */
export const withVirtualTimers = async <A>(engine: Engine, random: Random, run: () => Promise<A>): Promise<A> => {
  const { clearTimeout, setTimeout } = globalThis
  const { now } = Date
  const { random: chance } = Math
  const timers = new Map<number, Planned>()
  let last = 0
  const set = (
    callback: (...values: ReadonlyArray<unknown>) => void,
    millis = 0,
    ...values: Array<unknown>
  ): number => {
    const id = ++last
    timers.set(
      id,
      engine.after(Math.max(1, millis), engine.current, () => {
        timers.delete(id)
        callback(...values)
      })
    )
    return id
  }
  const clear = (id: unknown): void => {
    const planned = typeof id === "number" ? timers.get(id) : undefined
    if (planned === undefined) return
    engine.cancel(planned)
    timers.delete(Number(id))
  }
  Object.assign(globalThis, { setTimeout: set, clearTimeout: clear })
  Date.now = () => engine.now + (engine.current?.clockOffset ?? 0)
  Math.random = () => (engine.current?.random ?? random).next()
  try {
    return await run()
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout })
    Date.now = now
    Math.random = chance
  }
}
