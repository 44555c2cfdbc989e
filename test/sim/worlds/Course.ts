/** How a schedule runs in every world: its steps at their times, then the recovery. */
import type { Coverage } from "../Coverage.ts"
import type { Engine } from "../Engine.ts"
import type { Schedule, Step } from "../Schedule.ts"

export interface Stage {
  readonly engine: Engine
  readonly coverage: Coverage
  readonly schedule: Schedule
  perform(step: Step): void
}

/** Performs the steps, and waits for `rest` virtual milliseconds after the last one. */
export const enact = async (stage: Stage, rest: number): Promise<void> => {
  const { coverage, engine, schedule } = stage
  let last = 0
  for (const step of schedule.steps) {
    last = Math.max(last, step.at)
    engine.at(step.at, undefined, () => {
      engine.note("world", () => `${step.what} ${JSON.stringify(step.with)}`)
      coverage.drawn(step.what)
      stage.perform(step)
    })
  }
  await engine.run(last + rest, () => false)
}

export interface Recovery {
  readonly isComplete: boolean
  /** Virtual milliseconds. */
  readonly recovery: number
}

/** Waits until the world is complete, for at most `bound` virtual milliseconds. */
export const recover = async (engine: Engine, bound: number, isDone: () => boolean): Promise<Recovery> => {
  const from = engine.now
  const isComplete = await engine.run(from + bound, isDone)
  return { isComplete, recovery: engine.now - from }
}
