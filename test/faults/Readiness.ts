/** Records a program's readiness by asking for it again and again. */
import type { Running } from "../programs/Programs.ts"
import { pause, until } from "../programs/Waiting.ts"

export interface Readiness {
  /**
   * Waits until the program answers this status, or has done so since the last status that was waited for. Answers the
   * seconds since the watch began, or undefined when the program doesn't within `seconds`.
   */
  readonly becomes: (status: 200 | 503, seconds: number) => Promise<number | undefined>
  readonly stop: () => Promise<void>
}

const everyMillis = 20

/** Seconds as text. */
export const after = (seconds: number | undefined): string =>
  seconds === undefined ? "never" : `after ${seconds.toFixed(1)} s`

export const watch = (program: Running): Readiness => {
  const startedAt = performance.now()
  const answers: Array<{ readonly status: number; readonly seconds: number }> = []
  let stopping = false
  let seen = 0
  const asking = (async () => {
    while (!stopping) {
      const status = await program.readiness()
      answers.push({ status, seconds: (performance.now() - startedAt) / 1_000 })
      await pause(everyMillis)
    }
  })()
  return {
    becomes: async (wanted, seconds) => {
      const find = (): number => answers.findIndex(({ status }, index) => index >= seen && status === wanted)
      await until("its readiness changes", () => find() >= 0, { seconds }).catch(() => {})
      const index = find()
      if (index < 0) return undefined
      seen = index
      return answers[index]?.seconds
    },
    stop: async () => {
      stopping = true
      await asking
    }
  }
}
