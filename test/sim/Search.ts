/** Runs many schedules of a world, until one fails, and shrinks that. */
import { type Counts, Coverage } from "./Coverage.ts"
import type { Schedule } from "./Schedule.ts"
import { shrink } from "./Shrink.ts"
import { kindOf, type Outcome, type World } from "./World.ts"

export interface Found {
  readonly seed: number
  readonly drawn: Schedule
  readonly shrunk: Schedule
  /** Of the shrunk schedule, with its account. */
  readonly outcome: Outcome
}

export interface Searched {
  readonly schedules: number
  /** Without the shrinking. */
  readonly seconds: number
  /** Of the processor, for all that ran side by side. */
  readonly cpuSeconds: number
  readonly coverage: ReadonlyArray<readonly [string, Counts]>
  /** The longest time that a world needed to recover, in milliseconds. */
  readonly slowest: { readonly seed: number; readonly recovery: number }
  readonly found: Found | undefined
}

export interface Options {
  /** Of the first schedule; the next ones have the numbers after it. */
  readonly seed: number
  readonly schedules: number
  /** Every so many seeds only, default 1. */
  readonly stride?: number | undefined
  /** Ends the search after so many seconds. */
  readonly seconds?: number | undefined
  /** Told of the schedules that were run, now and then. */
  readonly progress?: ((schedules: number) => void) | undefined
}

const progressEvery = 500

const since = (from: number): number => (performance.now() - from) / 1_000

/** Of this thread. */
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

/** The same violation from fewer and plainer steps. */
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
