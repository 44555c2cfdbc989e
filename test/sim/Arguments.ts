/** The options of `npm run test:sim`. */
import { parseArgs } from "node:util"

export interface Arguments {
  readonly seed: number
  /** How many schedules to run in each world. */
  readonly schedules: number
  /** The only world to run; default all. */
  readonly world: string | undefined
  readonly mutant: string | undefined
  /** Whether to search for every mutant, instead of running the worlds. */
  readonly mutants: boolean
  /** The run of CI: mutants, and some schedules of each world. */
  readonly short: boolean
  readonly cores: number
  readonly list: boolean
}

const integer = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is not a whole number: ${text}`)
  return value
}

export const parse = (args: ReadonlyArray<string>, now: number): Arguments => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: "string" },
      schedules: { type: "string", default: "10000" },
      world: { type: "string" },
      mutant: { type: "string" },
      mutants: { type: "boolean", default: false },
      short: { type: "boolean", default: false },
      cores: { type: "string", default: "1" },
      list: { type: "boolean", default: false }
    }
  })
  return {
    seed: values.seed === undefined ? now % 1_000_000_000 : integer("seed", values.seed),
    schedules: integer("schedules", values.schedules),
    world: values.world,
    mutant: values.mutant,
    mutants: values.mutants,
    short: values.short,
    cores: Math.max(1, integer("cores", values.cores)),
    list: values.list
  }
}
