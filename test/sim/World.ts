/** What the worlds have in common: a seed draws a schedule, and a run of the schedule is judged. */
import type { Coverage } from "./Coverage.ts"
import type { Happening } from "./Engine.ts"
import type { Schedule } from "./Schedule.ts"

export interface Outcome {
  /** How the promise was broken; empty when it was kept. */
  readonly violations: ReadonlyArray<string>
  /** The time from the end of all harm until the world was complete, in milliseconds. */
  readonly recovery: number
  /** What happened, when it was asked for. */
  readonly account: ReadonlyArray<Happening>
}

export interface RunOptions<Alterations> {
  readonly alterations?: Alterations
  readonly account?: boolean
  readonly coverage?: Coverage
}

export interface World<Alterations> {
  readonly name: string
  readonly draw: (seed: number) => Schedule
  readonly run: (schedule: Schedule, options: RunOptions<Alterations>) => Promise<Outcome>
}

/** The line of the account for the end of all harm. */
export const healing = "heals everything"

/** The kind of a violation: its text without its numbers. */
export const kindOf = (violation: string): string => violation.replaceAll(/\d+(\.\d+)?/gu, "#")
