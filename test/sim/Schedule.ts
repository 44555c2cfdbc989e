/** The steps that are done to a world, and their times. They are drawn before the run, and only they are shrunk. */

export interface Step {
  /** In milliseconds from the beginning. */
  readonly at: number
  readonly what: string
  readonly with: Readonly<Record<string, number | string | boolean>>
}

export interface Schedule {
  readonly seed: number
  readonly steps: ReadonlyArray<Step>
  /** Whether all messages take the same time, so that fewer things happen by chance. */
  readonly calm: boolean
}

export const numberOf = ({ with: its }: Step, name: string): number => Number(its[name] ?? 0)
export const textOf = ({ with: its }: Step, name: string): string => String(its[name] ?? "")
export const isSet = ({ with: its }: Step, name: string): boolean => its[name] === true

export const describe = ({ what, with: its }: Step): string =>
  [what, ...Object.entries(its).map(([name, value]) => `${name}=${value}`)].join(" ")
