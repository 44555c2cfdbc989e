import type { Outcome, Scene } from "../Scene.ts"
import type { Config } from "../Topic.ts"

/** One way to harm the pipeline. */
export interface Fault {
  /** Of the list in the pipeline's design. */
  readonly number: number
  readonly name: string
  /** Only with `--soak`. */
  readonly soak?: boolean
  /** How the scene's topic is configured; nothing special unless told. */
  readonly topic?: Config | "left to the product"
  readonly run: (scene: Scene) => Promise<Outcome>
}
