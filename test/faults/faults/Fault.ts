import type { Outcome, Scene } from "../Scene.ts"

/** One way to harm the pipeline. */
export interface Fault {
  /** Of the list in the pipeline's design. */
  readonly number: number
  readonly name: string
  /** Only with `--soak`. */
  readonly soak?: boolean
  /** Of the scene's topic. */
  readonly topic?: Readonly<Record<string, string | undefined>>
  readonly run: (scene: Scene) => Promise<Outcome>
}
