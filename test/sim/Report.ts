/** What a run prints: counts, and a schedule that failed, so that a person can follow it. */
import type { Counts } from "./Coverage.ts"
import type { Happening } from "./Engine.ts"
import { describe, type Step } from "./Schedule.ts"
import type { Found, Searched } from "./Search.ts"

const time = (millis: number): string => millis.toFixed(1).padStart(9)

/** Harm that was drawn, and how often it made a difference; a dash where nobody counts that. */
export const coverage = (counts: Iterable<readonly [string, Counts]>): ReadonlyArray<string> => [
  `  ${"what".padEnd(34)}${"drawn".padStart(10)}${"mattered".padStart(10)}`,
  ...[...counts]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(
      ([what, { drawn, mattered }]) =>
        `  ${what.padEnd(34)}${(drawn === 0 ? "–" : String(drawn)).padStart(10)}${(mattered === 0 ? "–" : String(mattered)).padStart(10)}`
    )
]

export const rate = ({ schedules, seconds }: Searched): string =>
  `${schedules} schedules in ${seconds.toFixed(1)} s, ${Math.round(schedules / Math.max(seconds, 0.001))}/s`

const stepLine = (step: Step): string => `${time(step.at)}  ${describe(step)}`

const whoWidth = 14
const whatWidth = 76

const line = ({ state, time: at, what, who }: Happening): string =>
  `${time(at)}  ${who.padEnd(whoWidth)}${what.padEnd(whatWidth)}  ${state}`

/** Nothing of an account that only repeats what stands above it. */
export const found = (world: string, { drawn, outcome, seed, shrunk }: Found): ReadonlyArray<string> => [
  `seed ${seed} breaks the promise: ${outcome.violations.join("; ")}`,
  `npm run test:sim -- --world ${world} --seed ${seed} --schedules 1`,
  "",
  `${drawn.steps.length} steps, shrunk to ${shrunk.steps.length}${shrunk.calm ? ", with messages that all travel at one speed" : ""}:`,
  ...shrunk.steps.map(stepLine),
  "",
  `${"ms".padStart(9)}  ${"who".padEnd(whoWidth)}${"what".padEnd(whatWidth)}  state`,
  ...outcome.account.map(line)
]
