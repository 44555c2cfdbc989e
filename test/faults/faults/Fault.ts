import type { Bounds } from "../Oracle.ts"
import type { Outcome, Scene } from "../Scene.ts"
import type { Config } from "../Topic.ts"

/** One way to harm the pipeline, and what is promised in spite of it. */
export interface Fault extends Bounds {
  /** The number in the table of docs/guides/faults.md. */
  readonly number: number
  readonly name: string
  /** Only with `--soak`. */
  readonly soak?: boolean
  /** Only with `--long`. */
  readonly long?: boolean
  /** How many brokers it needs, default 1. */
  readonly brokers?: 1 | 3
  /** The configuration of the scene's topic; default none. `left to the product`: the programs create their topics. */
  readonly topic?: Config | "left to the product"
  readonly run: (scene: Scene) => Promise<Outcome>
}
