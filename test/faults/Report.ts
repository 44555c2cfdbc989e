/** The table that a run prints, a line at a time. */
import type { Outcome } from "./Scene.ts"

export type Result =
  | { readonly name: string; readonly outcome: Outcome; readonly seconds: number }
  | { readonly name: string; readonly error: string; readonly seconds: number }

const nameWidth = 58
const columns = [
  ["events", 8],
  ["lost", 6],
  ["invented", 9],
  ["disorder", 9],
  ["dupl.", 7],
  ["late dupl.", 11],
  ["twice", 6],
  ["stuck", 6],
  ["silent s", 9],
  ["took s", 7]
] as const

export const header = (): string =>
  [`  ${"fault".padEnd(nameWidth)}`, ...columns.map(([name, width]) => name.padStart(width))].join("")

const cells = ({ judgement, stuck, twice }: Outcome, seconds: number): ReadonlyArray<string> => [
  `${judgement.events}`,
  `${judgement.lost}`,
  `${judgement.invented}`,
  `${judgement.inversions}`,
  `${judgement.duplicates}`,
  `${judgement.lateDuplicates}`,
  `${twice ?? "–"}`,
  `${stuck ?? "–"}`,
  judgement.silence.toFixed(1),
  seconds.toFixed(1)
]

export const line = (result: Result, passed: boolean): string => {
  const sign = passed ? "✓" : "✗"
  if ("error" in result) return `${sign} ${result.name.padEnd(nameWidth)}  ${result.error}`
  const { outcome, seconds } = result
  const row = cells(outcome, seconds).map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0))
  return [
    `${sign} ${result.name.padEnd(nameWidth)}${row.join("")}`,
    ...outcome.broken.map((what) => `    broken: ${what}`),
    ...outcome.notes.map((note) => `    ${note}`)
  ].join("\n")
}

export const legend = `events: committed. lost: committed, never published. invented: published, never committed. disorder: first deliveries after a
later event of their key. dupl.: deliveries beyond the first; late dupl.: those after a later event of their key. twice: invoices with more than
one verdict; stuck: invoices without. silent: longest time without a new record, which is how long it took to recover. –: no invoices.`
