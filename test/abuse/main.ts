/**
 * The abuse suite: attacks the real program in every way that docs/guides/abuse.md lists, while good clients are served.
 *
 * `npm run test:abuse -- [--seed N] [--only TEXT] [--long]`, or `npm run test:abuse -- --list`
 */
import { parseArgs } from "node:util"
import { Random } from "../faults/Random.ts"
import { reasonOf } from "../programs/Sql.ts"
import * as Report from "./Report.ts"
import { isTimed, judge, needsSetup, play, type Scene } from "./Scene.ts"
import { scenes } from "./scenes/All.ts"
import * as World from "./World.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    only: { type: "string", default: "" },
    long: { type: "boolean", default: false },
    list: { type: "boolean", default: false }
  }
})

const only = values.only.toLowerCase()
const asked = scenes.filter(({ long, name }) => (long !== true || values.long) && name.toLowerCase().includes(only))
/** Scenes with the same program one after another, so that few programs are started. */
const setups = [...new Set(asked.map((scene) => JSON.stringify(needsSetup(scene, values.long))))]
const ordered = asked.toSorted(
  (a, b) =>
    setups.indexOf(JSON.stringify(needsSetup(a, values.long))) -
    setups.indexOf(JSON.stringify(needsSetup(b, values.long)))
)

if (values.list) {
  for (const { name, promise } of asked) console.log(`${name}: ${promise}`)
  process.exit(0)
}
if (process.platform !== "linux") {
  console.log("✗ the abuse suite reads what a program uses from /proc, which only Linux has\n0 passed, 1 failed")
  process.exit(1)
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const again = [
  `npm run test:abuse -- --seed ${seed}`,
  ...(only === "" ? [] : [`--only '${values.only}'`]),
  ...(values.long ? ["--long"] : [])
].join(" ")
console.log(`seed ${seed}; again: ${again}\n`)

let passed = 0
const failed: Array<string> = []
const starting = World.start(new Random(seed), values.long)
let stopping: Promise<void> | undefined
const stop = (): Promise<void> => {
  stopping ??= starting.then((world) => world.stop())
  return stopping
}
/** Ends everything that was started; the result is then a failure, whatever has passed. */
const abandon = (): void =>
  void stop().finally(() => {
    console.log(`${passed} passed, ${failed.length + 1} failed (the run was abandoned)`)
    process.exit(1)
  })
// a signal during the start stops the world once it has started; the programs end with this process
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, abandon)
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => {
    if (stopping === undefined) console.log(`✗ the suite itself: ${reasonOf(error)}`)
    abandon()
  })
}
const world = await starting

let untimed = 0

/** Plays a scene; answers why it failed, or undefined when it passed. */
const run = async (scene: Scene): Promise<string | undefined> => {
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1_000
  try {
    const outcome = await play(world, scene)
    const broken = judge(scene, outcome)
    if (!isTimed(outcome)) untimed += 1
    console.log(Report.line(scene.name, outcome, broken, seconds()))
    // what one scene has harmed must not be held against the next
    if (broken.length > 0 || scene.own === true) await world.dismiss()
    return broken.length === 0 ? undefined : broken.join("; ")
  } catch (error) {
    // its world has ended under it
    if (stopping !== undefined) return "abandoned"
    const reason = reasonOf(error)
    console.log(`✗ ${scene.name} after ${seconds().toFixed(1)} s: ${reason}`)
    world.control.aim(undefined)
    await world.dismiss()
    return reason
  }
}

console.log(Report.header())
for (const scene of ordered) {
  if (stopping !== undefined) break
  const reason = await run(scene)
  if (stopping !== undefined) break
  if (reason === undefined) passed += 1
  else failed.push(`${scene.name}: ${reason}`)
}
const isAbandoned = stopping !== undefined
await stop()
console.log(`\n${Report.legend}\nagain: ${again}`)
if (untimed > 0)
  console.log(
    `in ${untimed} scenes others used too much of the machine to judge what good clients saw: run it again alone`
  )
for (const name of failed) console.log(`✗ ${name}`)
console.log(`${passed} passed, ${failed.length} failed`)
process.exit(failed.length === 0 && passed > 0 && !isAbandoned ? 0 : 1)
