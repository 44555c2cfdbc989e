/** The thread that `SideBySide` starts: runs one search. */
import "./Lean.ts"
import { parentPort, workerData } from "node:worker_threads"
import { mutantNamed } from "./mutants/All.ts"
import { search } from "./Search.ts"
import type { Assignment } from "./SideBySide.ts"
import { worldNamed } from "./worlds/All.ts"

const { mutant, options, world }: Assignment = workerData
const searched = await search(worldNamed(world), mutant === undefined ? undefined : mutantNamed(mutant).alterations, {
  ...options,
  progress: (schedules) => parentPort?.postMessage({ schedules })
})
parentPort?.postMessage({ searched })
