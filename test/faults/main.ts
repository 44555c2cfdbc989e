/**
 * The fault suite: harms the pipeline in every way that docs/guides/faults.md lists; the oracle judges the results.
 *
 * `npm run test:faults -- [--seed N] [--only TEXT] [--long] [--brokers 1|3] [--soak] [--minutes N] [--backlog N]`, or
 * `npm run test:faults -- --list`
 */
import { parseArgs } from "node:util"
import { reasonOf } from "../programs/Sql.ts"
import { faults } from "./faults/All.ts"
import type { Fault } from "./faults/Fault.ts"
import { isCaught, trials } from "./mutants/Trial.ts"
import * as Oracle from "./Oracle.ts"
import { Random } from "./Random.ts"
import * as Report from "./Report.ts"
import { type Outcome, Scene } from "./Scene.ts"
import * as World from "./World.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    only: { type: "string", default: "" },
    long: { type: "boolean", default: false },
    brokers: { type: "string", default: "3" },
    soak: { type: "boolean", default: false },
    minutes: { type: "string", default: "30" },
    backlog: { type: "string", default: "10000000" },
    list: { type: "boolean", default: false }
  }
})

if (values.brokers !== "1" && values.brokers !== "3") throw new Error("--brokers is 1 or 3")
const brokers = values.brokers === "1" ? 1 : 3

interface Task {
  readonly name: string
  readonly topic: NonNullable<Fault["topic"]>
  readonly bound: number | undefined
  readonly run: (scene: Scene) => Promise<Outcome>
  readonly isPassed: (outcome: Outcome) => boolean
}

/** Adds the bounds that the scene has broken: it may keep the promise and still take too long. */
const within = (fault: Fault, outcome: Outcome): Outcome => ({
  ...outcome,
  broken: [...outcome.broken, ...Oracle.beyond(fault, outcome.judgement)]
})

const isAsked = ({ brokers: needed = 1, long, soak }: Pick<Fault, "brokers" | "long" | "soak">): boolean =>
  needed <= brokers && (long !== true || values.long) && (soak !== true || values.soak)

const only = values.only.toLowerCase()
const tasks: ReadonlyArray<Task> = [
  ...faults.filter(isAsked).map((fault) => ({
    name: `${String(fault.number).padStart(2)} ${fault.name}`,
    topic: fault.topic ?? {},
    bound: fault.bound,
    run: async (scene: Scene) => within(fault, await fault.run(scene)),
    isPassed: ({ broken }: Outcome) => broken.length === 0
  })),
  ...trials.filter(isAsked).map((trial) => ({
    name: `mutant: ${trial.name}, caught by ${trial.caughtBy}`,
    topic: trial.topic ?? {},
    bound: undefined,
    run: trial.run,
    isPassed: (outcome: Outcome) => isCaught(trial, outcome)
  }))
].filter(({ name }) => name.toLowerCase().includes(only))

if (values.list) {
  for (const { name } of tasks) console.log(name)
  process.exit(0)
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const again = [
  `npm run test:faults -- --seed ${seed}`,
  ...(only === "" ? [] : [`--only '${values.only}'`]),
  ...(values.long ? ["--long"] : []),
  ...(brokers === 3 ? [] : [`--brokers ${brokers}`]),
  ...(values.soak ? [`--soak --minutes ${values.minutes} --backlog ${values.backlog}`] : [])
].join(" ")
console.log(`seed ${seed}; again: ${again}\n`)

const starting = World.start({
  random: new Random(seed),
  brokers,
  long: values.long,
  soak: values.soak ? { minutes: Number(values.minutes), backlog: Number(values.backlog) } : undefined
})
let stopping: Promise<void> | undefined
const stop = (): Promise<void> => {
  stopping ??= starting.then((world) => world.stop())
  return stopping
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // a signal during the start stops the world once it has started; the programs end with this process
  process.on(signal, () => void stop().finally(() => process.exit(1)))
}
const world = await starting

/** Runs a task; answers why it failed, or undefined when it passed. */
const runTask = async ({ bound, isPassed, name, run, topic }: Task): Promise<string | undefined> => {
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1_000
  let scene: Scene | undefined
  try {
    scene = await Scene.open(world, name, topic)
    const outcome = await run(scene)
    const passed = isPassed(outcome)
    console.log(Report.line({ name, outcome, bound, seconds: seconds() }, passed))
    if (passed) return undefined
    scene.report(process.stderr)
    return outcome.broken.join("; ") || "nothing is broken, though a mutant ran"
  } catch (error) {
    const reason = reasonOf(error)
    console.log(Report.line({ name, error: reason, seconds: seconds() }, false))
    scene?.report(process.stderr)
    return reason
  } finally {
    // the servers must work again before the scene closes, since closing asks programs and writers to finish
    await world.heal().catch((error: unknown) => console.log(`    the world is not as before: ${reasonOf(error)}`))
    await scene?.close()
  }
}

let passed = 0
const failed: Array<string> = []
console.log(Report.header())
for (const task of tasks) {
  if (stopping !== undefined) break
  const reason = await runTask(task)
  if (reason === undefined) passed += 1
  else failed.push(`${task.name}: ${reason}`)
}
await stop()
console.log(`\n${Report.legend}\nagain: ${again}`)
for (const name of failed) console.log(`✗ ${name}`)
console.log(`${passed} passed, ${failed.length} failed`)
process.exit(failed.length === 0 && passed > 0 ? 0 : 1)
