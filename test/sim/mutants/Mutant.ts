import type { Alterations } from "../worlds/Alterations.ts"

/** A fault that was mended, or a plausible mistake, planted on purpose: what does not find it proves nothing. */
export interface Mutant {
  readonly name: string
  /** In the world of this name. */
  readonly world: string
  readonly what: string
  /** The fault of issue 9 that it plants again, if it is one. */
  readonly fault?: number
  /** With which it is found soon, for a quick check. */
  readonly seed: number
  readonly alterations: Alterations
}
