/** What the worlds have in common: a seed draws a schedule, a run of it is judged. */
import type { Coverage } from "./Coverage.ts"
import type { Happening } from "./Engine.ts"
import type { Schedule } from "./Schedule.ts"

export interface Outcome {
  /** What was broken; empty when the promise was kept. */
  readonly violations: ReadonlyArray<string>
  /** How long it took from the end of all harm until everything was there, in milliseconds. */
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

/** The kind of a violation, whatever numbers it names. */
export const kindOf = (violation: string): string => violation.replaceAll(/\d+(\.\d+)?/gu, "#")
