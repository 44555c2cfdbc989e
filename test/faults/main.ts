/**
 * The fault suite: harms the pipeline in every way that its design names, and lets the oracle judge what came out.
 *
 * `npm run test:faults -- [--seed N] [--only TEXT] [--soak] [--minutes N] [--backlog N] [--list]`
 */
import { parseArgs } from "node:util"
import { faults } from "./faults/All.ts"
import type { Fault } from "./faults/Fault.ts"
import { isCaught, trials } from "./mutants/Trial.ts"
import { Random } from "./Random.ts"
import * as Report from "./Report.ts"
import { type Outcome, Scene } from "./Scene.ts"
import { reasonOf } from "./Sql.ts"
import * as World from "./World.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    only: { type: "string", default: "" },
    soak: { type: "boolean", default: false },
    minutes: { type: "string", default: "30" },
    backlog: { type: "string", default: "10000000" },
    list: { type: "boolean", default: false }
  }
})

interface Task {
  readonly name: string
  readonly topic: NonNullable<Fault["topic"]>
  readonly run: (scene: Scene) => Promise<Outcome>
  readonly isPassed: (outcome: Outcome) => boolean
}

const only = values.only.toLowerCase()
const tasks: ReadonlyArray<Task> = [
  ...faults
    .filter(({ soak }) => soak !== true || values.soak)
    .map(({ name, number, run, topic }) => ({
      name: `${String(number).padStart(2)} ${name}`,
      topic: topic ?? {},
      run,
      isPassed: ({ broken }: Outcome) => broken.length === 0
    })),
  ...trials.map((trial) => ({
    name: `mutant: ${trial.name}, caught by ${trial.caughtBy === "lost" ? "loss" : "disorder"}`,
    topic: {},
    run: trial.run,
    isPassed: ({ judgement }: Outcome) => isCaught(trial, judgement)
  }))
].filter(({ name }) => name.toLowerCase().includes(only))

if (values.list) {
  for (const { name } of tasks) console.log(name)
  process.exit(0)
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const again = `npm run test:faults -- --seed ${seed}${only === "" ? "" : ` --only '${values.only}'`}${
  values.soak ? ` --soak --minutes ${values.minutes} --backlog ${values.backlog}` : ""
}`
console.log(`seed ${seed}; again: ${again}\n`)

const starting = World.start(
  new Random(seed),
  values.soak ? { minutes: Number(values.minutes), backlog: Number(values.backlog) } : undefined
)
let stopping: Promise<void> | undefined
const stop = (): Promise<void> => {
  stopping ??= starting.then((world) => world.stop())
  return stopping
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // also while it starts: what is half there is stopped once it is there; the programs end with this process
  process.on(signal, () => void stop().finally(() => process.exit(1)))
}
const world = await starting

const runTask = async ({ isPassed, name, run, topic }: Task): Promise<boolean> => {
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1_000
  let scene: Scene | undefined
  try {
    scene = await Scene.open(world, name, topic)
    const outcome = await run(scene)
    const passed = isPassed(outcome)
    console.log(Report.line({ name, outcome, seconds: seconds() }, passed))
    if (!passed) scene.report(process.stderr)
    return passed
  } catch (error) {
    console.log(Report.line({ name, error: reasonOf(error), seconds: seconds() }, false))
    scene?.report(process.stderr)
    return false
  } finally {
    world.proxy.pass()
    await scene?.close()
  }
}

let passed = 0
const failed: Array<string> = []
console.log(Report.header())
for (const task of tasks) {
  if (stopping !== undefined) break
  if (await runTask(task)) passed += 1
  else failed.push(task.name)
}
await stop()
console.log(`\n${Report.legend}\nagain: ${again}`)
for (const name of failed) console.log(`✗ ${name}`)
console.log(`${passed} passed, ${failed.length} failed`)
process.exit(failed.length === 0 && passed > 0 ? 0 : 1)
