/** Runs many schedules of a world, until one fails, and shrinks that. */
import { Coverage } from "./Coverage.ts"
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
  readonly coverage: Coverage
  /** The longest time that a world needed to recover, in milliseconds. */
  readonly slowest: { readonly seed: number; readonly recovery: number }
  readonly found: Found | undefined
}

export interface Options<Alterations> {
  readonly seed: number
  readonly schedules: number
  /** Every so many seeds, for searches side by side. */
  readonly stride?: number
  readonly alterations?: Alterations
  /** Ends the search. */
  readonly until?: number
  readonly shrinks?: boolean
}

const seconds = (since: number): number => (performance.now() - since) / 1_000

export const search = async <Alterations>(
  world: World<Alterations>,
  options: Options<Alterations>
): Promise<Searched> => {
  const { alterations, schedules, seed, shrinks = true, stride = 1, until = Number.POSITIVE_INFINITY } = options
  const its = alterations === undefined ? {} : { alterations }
  const coverage = new Coverage()
  let slowest = { seed, recovery: 0 }
  const from = performance.now()
  for (let count = 0; count < schedules; count++) {
    if (seconds(from) > until) return { schedules: count, seconds: seconds(from), coverage, slowest, found: undefined }
    const current = seed + count * stride
    const drawn = world.draw(current)
    const outcome = await world.run(drawn, { ...its, coverage })
    if (outcome.recovery > slowest.recovery) slowest = { seed: current, recovery: outcome.recovery }
    const [violation] = outcome.violations
    if (violation === undefined) continue
    const took = seconds(from)
    const kind = kindOf(violation)
    const stillFails = async (schedule: Schedule): Promise<boolean> =>
      (await world.run(schedule, its)).violations.some((other) => kindOf(other) === kind)
    const shrunk = shrinks ? await shrink(drawn, stillFails) : drawn
    const found = { seed: current, drawn, shrunk, outcome: await world.run(shrunk, { ...its, account: true }) }
    return { schedules: count + 1, seconds: took, coverage, slowest, found }
  }
  return { schedules, seconds: seconds(from), coverage, slowest, found: undefined }
}
