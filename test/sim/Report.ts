/** What a run prints: counts, and a schedule that failed, so that a person can follow it. */
import type { Counts } from "./Coverage.ts"
import type { Happening } from "./Engine.ts"
import type { Mutant } from "./mutants/Mutant.ts"
import { describe, type Step } from "./Schedule.ts"
import type { Found, Searched } from "./Search.ts"
import { healing } from "./World.ts"

const time = (millis: number): string => millis.toFixed(1).padStart(9)

/** How often harm was drawn, and how often it mattered; a dash where this is not counted. */
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

/** Lines to print after the end of all harm; later ones mostly repeat themselves. */
const linesAfterHarm = 8

const told = (account: ReadonlyArray<Happening>): ReadonlyArray<Happening> => {
  const healed = account.findIndex(({ what }) => what === healing)
  return healed === -1 ? account : account.slice(0, healed + 1 + linesAfterHarm)
}

/** @param how the options, besides the seed, that reproduce it */
export const found = (how: string, { drawn, outcome, seed, shrunk }: Found): ReadonlyArray<string> => [
  `seed ${seed} breaks the promise: ${outcome.violations.join("; ")}`,
  `npm run test:sim -- ${how} --seed ${seed} --schedules 1`,
  "",
  `${drawn.steps.length} steps, shrunk to ${shrunk.steps.length}${shrunk.calm ? ", with messages that all travel at one speed" : ""}:`,
  ...shrunk.steps.map(stepLine),
  "",
  `${"ms".padStart(9)}  ${"who".padEnd(whoWidth)}${"what".padEnd(whatWidth)}  state`,
  ...told(outcome.account).map(line)
]
