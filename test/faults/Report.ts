/** The table that a run prints, a line at a time. */
import type { Outcome } from "./Scene.ts"

export type Result =
  | { readonly name: string; readonly outcome: Outcome; readonly bound: number | undefined; readonly seconds: number }
  | { readonly name: string; readonly error: string; readonly seconds: number }

const nameWidth = 62
const columns = [
  ["events", 8],
  ["lost", 6],
  ["invented", 9],
  ["altered", 8],
  ["disorder", 9],
  ["dupl.", 7],
  ["late", 6],
  ["twice", 6],
  ["stuck", 6],
  ["silent s", 9],
  ["waited s", 9],
  ["bound s", 8],
  ["took s", 7]
] as const

export const header = (): string =>
  [`  ${"fault".padEnd(nameWidth)}`, ...columns.map(([name, width]) => name.padStart(width))].join("")

const seconds = (some: number | undefined): string => some?.toFixed(1) ?? "–"

const cells = (
  { judgement, stuck, twice }: Outcome,
  bound: number | undefined,
  took: number
): ReadonlyArray<string> => [
  `${judgement.events}`,
  `${judgement.lost}`,
  `${judgement.invented}`,
  `${judgement.altered ?? "–"}`,
  `${judgement.inversions}`,
  `${judgement.duplicates}`,
  `${judgement.lateDuplicates}`,
  `${twice ?? "–"}`,
  `${stuck ?? "–"}`,
  seconds(judgement.silence),
  seconds(judgement.waited),
  `${bound ?? "–"}`,
  seconds(took)
]

export const line = (result: Result, passed: boolean): string => {
  const sign = passed ? "✓" : "✗"
  if ("error" in result) {
    return `${sign} ${result.name.padEnd(nameWidth)}  after ${seconds(result.seconds)} s: ${result.error}`
  }
  const { bound, outcome } = result
  const row = cells(outcome, bound, result.seconds).map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0))
  return [
    `${sign} ${result.name.padEnd(nameWidth)}${row.join("")}`,
    ...outcome.broken.map((what) => `    broken: ${what}`),
    ...outcome.notes.map((note) => `    ${note}`)
  ].join("\n")
}

export const legend = `events: committed. lost: committed, never published. invented: published, never committed. altered: topic, key, value or headers are
not those that were committed. disorder: first deliveries after a later event of their key. dupl.: deliveries beyond the first; late: those after a
later event of their key. twice: invoices with more than one verdict; stuck: invoices without. silent: longest time in which something waited and
nothing came. waited: longest that one event waited for its record; more than the bound fails. –: does not apply.`
