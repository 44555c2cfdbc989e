/** Runs many schedules of a world until one fails, and shrinks this one. */
import { type Counts, Coverage } from "./Coverage.ts"
import type { Schedule } from "./Schedule.ts"
import { shrink } from "./Shrink.ts"
import { kindOf, type Outcome, type World } from "./World.ts"

export interface Found {
  readonly seed: number
  readonly drawn: Schedule
  readonly shrunk: Schedule
  /** The outcome of the shrunk schedule, with its account. */
  readonly outcome: Outcome
}

export interface Searched {
  readonly schedules: number
  /** How long the search took, without the shrinking. */
  readonly seconds: number
  /** Seconds of CPU of all threads together. */
  readonly cpuSeconds: number
  readonly coverage: ReadonlyArray<readonly [string, Counts]>
  /** The longest time that a world needed to recover, in milliseconds. */
  readonly slowest: { readonly seed: number; readonly recovery: number }
  readonly found: Found | undefined
}

export interface Options {
  /** The seed of the first schedule; each next one adds `stride`. */
  readonly seed: number
  readonly schedules: number
  /** The distance between two seeds, default 1. */
  readonly stride?: number | undefined
  /** The search ends after this many seconds; default never. */
  readonly seconds?: number | undefined
  /** Called now and then with the number of schedules that were run. */
  readonly progress?: ((schedules: number) => void) | undefined
}

const progressEvery = 500

const since = (from: number): number => (performance.now() - from) / 1_000

/** Seconds of CPU of this thread. */
const cpu = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1e6
}

export const search = async <Alterations>(
  world: World<Alterations>,
  alterations: Alterations | undefined,
  { progress, schedules, seconds = Number.POSITIVE_INFINITY, seed, stride = 1 }: Options
): Promise<Searched> => {
  const its = alterations === undefined ? {} : { alterations }
  const coverage = new Coverage()
  const from = performance.now()
  const cpuFrom = cpu()
  let slowest = { seed, recovery: 0 }
  const result = (count: number, found?: Found, took = since(from), used = cpu() - cpuFrom): Searched => ({
    schedules: count,
    seconds: took,
    cpuSeconds: used,
    coverage: [...coverage.counts],
    slowest,
    found
  })
  for (let count = 0; count < schedules; count++) {
    if (since(from) > seconds) return result(count)
    if (count % progressEvery === 0) progress?.(count)
    const current = seed + count * stride
    const drawn = world.draw(current)
    const outcome = await world.run(drawn, { ...its, coverage })
    if (outcome.recovery > slowest.recovery) slowest = { seed: current, recovery: outcome.recovery }
    const [violation] = outcome.violations
    if (violation === undefined) continue
    const took = since(from)
    const used = cpu() - cpuFrom
    return result(count + 1, await shrinkFound(world, its, drawn, violation), took, used)
  }
  return result(schedules)
}

/** Finds the same violation with fewer and simpler steps. */
const shrinkFound = async <Alterations>(
  world: World<Alterations>,
  its: { readonly alterations?: Alterations },
  drawn: Schedule,
  violation: string
): Promise<Found> => {
  const kind = kindOf(violation)
  const shrunk = await shrink(drawn, async (schedule) =>
    (await world.run(schedule, its)).violations.some((other) => kindOf(other) === kind)
  )
  return { seed: drawn.seed, drawn, shrunk, outcome: await world.run(shrunk, { ...its, account: true }) }
}
