/** A search in several threads, each with its share of the seeds. */
import { Worker } from "node:worker_threads"
import { Coverage } from "./Coverage.ts"
import { mutantNamed } from "./mutants/All.ts"
import { type Options, type Searched, search } from "./Search.ts"
import { worldNamed } from "./worlds/All.ts"

/** The task of a thread. */
export interface Assignment {
  readonly world: string
  readonly mutant: string | undefined
  readonly options: Omit<Options, "progress">
}

type Told = { readonly schedules: number } | { readonly searched: Searched }

const merge = (all: ReadonlyArray<Searched>): Searched => {
  const coverage = new Coverage()
  for (const one of all) coverage.add(one.coverage)
  return {
    schedules: all.reduce((sum, { schedules }) => sum + schedules, 0),
    seconds: Math.max(...all.map(({ seconds }) => seconds)),
    cpuSeconds: all.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    coverage: [...coverage.counts],
    slowest: all.map(({ slowest }) => slowest).reduce((one, other) => (other.recovery > one.recovery ? other : one)),
    found: all.find(({ found }) => found !== undefined)?.found
  }
}

export const searchSideBySide = (
  { mutant, options, world }: Assignment,
  cores: number,
  progress: (schedules: number) => void
): Promise<Searched> => {
  if (cores === 1) {
    const alterations = mutant === undefined ? undefined : mutantNamed(mutant).alterations
    return search(worldNamed(world), alterations, { ...options, progress })
  }
  const { schedules, seed } = options
  const done: Array<number> = []
  const threads = Array.from({ length: cores }, (_, index) => {
    const share = Math.floor(schedules / cores) + (index < schedules % cores ? 1 : 0)
    const its = { ...options, seed: seed + index, stride: cores, schedules: share }
    return new Worker(new URL("./worker.ts", import.meta.url), { workerData: { world, mutant, options: its } })
  })
  return new Promise<Searched>((resolve, reject) => {
    const ended: Array<Searched> = []
    const finish = (): void => {
      resolve(merge(ended))
      for (const thread of threads) thread.terminate().catch(reject)
    }
    for (const [index, thread] of threads.entries()) {
      thread.on("error", reject)
      thread.on("message", (told: Told) => {
        if ("schedules" in told) {
          done[index] = told.schedules
          progress(done.reduce((sum, count) => sum + count, 0))
          return
        }
        ended.push(told.searched)
        // the other threads stop once one has found a failure
        if (told.searched.found !== undefined || ended.length === threads.length) finish()
      })
    }
  })
}
