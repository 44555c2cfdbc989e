import type { Alterations } from "../worlds/Alterations.ts"

/** A fixed bug or a plausible mistake, planted on purpose: a simulation that does not find it proves nothing. */
export interface Mutant {
  readonly name: string
  /** The name of the world that must find it. */
  readonly world: string
  readonly what: string
  /** The fault of issue 9 that it plants again, if it does. */
  readonly fault?: number
  /** A seed that finds it soon, for a quick check. */
  readonly seed: number
  readonly alterations: Alterations
}
