/** The table that a run prints, a scene at a time. */
import type { Statistics } from "./Samples.ts"
import { isTimed, type Outcome } from "./Scene.ts"

const nameWidth = 52
const columns = [
  ["before MB", 10],
  ["peak", 7],
  ["after", 7],
  ["requests", 9],
  ["errors", 7],
  ["p50 ms", 7],
  ["p99 ms", 7],
  ["lived s", 12],
  ["open", 6],
  ["took s", 7]
] as const

export const header = (): string =>
  [`  ${"scene".padEnd(nameWidth)}`, ...columns.map(([name, width]) => name.padStart(width))].join("")

const range = (some: ReadonlyArray<number>): string =>
  some.length === 0 ? "–" : `${Math.min(...some).toFixed(1)}–${Math.max(...some).toFixed(1)}`

const cells = ({ attacked, findings, memory, stillOpen }: Outcome, seconds: number): ReadonlyArray<string> => [
  memory.before.toFixed(0),
  memory.peak.toFixed(0),
  memory.after.toFixed(0),
  `${attacked.requests}`,
  `${attacked.errors}`,
  attacked.p50.toFixed(0),
  attacked.p99.toFixed(0),
  range(findings.lived),
  `${stillOpen}`,
  seconds.toFixed(1)
]

/** The commonest first. */
const counted = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 8)
    .map(([text, count]) => `${count} × ${text}`)
    .join(", ")

const untimed = (outcome: Outcome): ReadonlyArray<string> =>
  isTimed(outcome)
    ? []
    : [`others used ${(100 * outcome.others).toFixed(0)} % of the machine: what good clients saw is not judged`]

const failures = ({ failures }: Statistics): ReadonlyArray<string> =>
  failures.size === 0 ? [] : [`good clients: ${counted(failures)}`]

export const line = (name: string, outcome: Outcome, broken: ReadonlyArray<string>, seconds: number): string => {
  const row = cells(outcome, seconds).map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0))
  const { answers, notes } = outcome.findings
  return [
    `${broken.length === 0 ? "✓" : "✗"} ${name.padEnd(nameWidth)}${row.join("")}`,
    ...broken.map((what) => `    broken: ${what}`),
    ...(answers.size === 0 ? [] : [`    answers: ${counted(answers)}`]),
    ...[...untimed(outcome), ...failures(outcome.attacked), ...notes].map((note) => `    ${note}`)
  ].join("\n")
}

export const legend = `before, peak, after: resident memory of the program. requests, errors, p50, p99: of the good clients while the attack lasts; a
request counts from when it was due. lived: shortest and longest life of the attack's connections or streams that the program ended; open: those
that it did not end.`
