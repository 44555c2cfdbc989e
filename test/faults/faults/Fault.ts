import type { Bounds } from "../Oracle.ts"
import type { Outcome, Scene } from "../Scene.ts"
import type { Config } from "../Topic.ts"

/** One way to harm the pipeline, and what is promised all the same. */
export interface Fault extends Bounds {
  /** Of the list in the guide; to 18 that of the pipeline's design. */
  readonly number: number
  readonly name: string
  /** Only with `--soak`. */
  readonly soak?: boolean
  /** Only with `--long`. */
  readonly long?: boolean
  /** How many brokers it needs, default 1. */
  readonly brokers?: 1 | 3
  /** How the scene's topic is configured; default nothing special. */
  readonly topic?: Config | "left to the product"
  readonly run: (scene: Scene) => Promise<Outcome>
}
