/** What is done to a world, and when: the only thing that is drawn beforehand, and all there is to shrink. */

export interface Step {
  /** In milliseconds from the beginning. */
  readonly at: number
  readonly what: string
  readonly with: Readonly<Record<string, number | string | boolean>>
}

export interface Schedule {
  readonly seed: number
  readonly steps: ReadonlyArray<Step>
  /** Messages travel at one speed, so that fewer things happen by chance. */
  readonly calm: boolean
}

export const numberOf = ({ with: its }: Step, name: string): number => Number(its[name] ?? 0)
export const textOf = ({ with: its }: Step, name: string): string => String(its[name] ?? "")
export const isSet = ({ with: its }: Step, name: string): boolean => its[name] === true

export const describe = ({ what, with: its }: Step): string =>
  [what, ...Object.entries(its).map(([name, value]) => `${name}=${value}`)].join(" ")
