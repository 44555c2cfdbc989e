/** What a run prints: counts, and a schedule that failed, so that a person can follow it. */
import type { Counts } from "./Coverage.ts"
import type { Happening } from "./Engine.ts"
import type { Mutant } from "./mutants/Mutant.ts"
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

export const rate = ({ cpuSeconds, schedules, seconds }: Searched): string =>
  `${schedules} schedules in ${seconds.toFixed(1)} s: ${Math.round(schedules / Math.max(seconds, 0.001))}/s, ${((1_000 * cpuSeconds) / Math.max(schedules, 1)).toFixed(2)} ms of a core each`

const columns = [
  ["fault", 6],
  ["schedules", 11],
  ["seconds", 9],
  ["steps", 7],
  ["shrunk", 8]
] as const

export const mutantHeader = (): string =>
  `  ${"mutant".padEnd(28)}${columns.map(([name, width]) => name.padStart(width)).join("")}  seed        found by`

export const mutantLine = ({ fault, name }: Mutant, { found, schedules, seconds }: Searched): string => {
  const cells = [
    fault === undefined ? "–" : String(fault),
    String(schedules),
    seconds.toFixed(1),
    found === undefined ? "–" : String(found.drawn.steps.length),
    found === undefined ? "–" : String(found.shrunk.steps.length)
  ].map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0))
  const by = found === undefined ? "not found" : `${String(found.seed).padEnd(12)}${found.outcome.violations[0]}`
  return `${found === undefined ? "✗" : "✓"} ${name.padEnd(28)}${cells.join("")}  ${by}`
}

const stepLine = (step: Step): string => `${time(step.at)}  ${describe(step)}`

const whoWidth = 14
const whatWidth = 76

const line = ({ state, time: at, what, who }: Happening): string =>
  `${time(at)}  ${who.padEnd(whoWidth)}${what.padEnd(whatWidth)}  ${state}`

/** @param how the options that find it again, beside the seed */
export const found = (how: string, { drawn, outcome, seed, shrunk }: Found): ReadonlyArray<string> => [
  `seed ${seed} breaks the promise: ${outcome.violations.join("; ")}`,
  `npm run test:sim -- ${how} --seed ${seed} --schedules 1`,
  "",
  `${drawn.steps.length} steps, shrunk to ${shrunk.steps.length}${shrunk.calm ? ", with messages that all travel at one speed" : ""}:`,
  ...shrunk.steps.map(stepLine),
  "",
  `${"ms".padStart(9)}  ${"who".padEnd(whoWidth)}${"what".padEnd(whatWidth)}  state`,
  ...outcome.account.map(line)
]
