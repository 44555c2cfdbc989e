/**
 * The figures of the pipeline, each with its baselines of the same run; none is asserted. Programs run as processes of
 * their own, on one Postgres and one Kafka started for the run. Needs what the tests need for Kafka, and Linux
 * (`/proc`).
 *
 * `npm run bench:pipeline -- --only a,c` measures some of them. BENCH_… variables set sizes and seconds (see each
 * file), and BENCH_PROFILES names a folder for CPU profiles.
 */
import { parseArgs } from "node:util"
import * as Drain from "./pipeline/Drain.ts"
import * as Flow from "./pipeline/Flow.ts"
import * as Growth from "./pipeline/Growth.ts"
import * as Idle from "./pipeline/Idle.ts"
import * as Latency from "./pipeline/Latency.ts"
import * as Machine from "./pipeline/Machine.ts"
import * as Program from "./pipeline/Program.ts"
import * as Readable from "./pipeline/Readable.ts"
import * as Verdicts from "./pipeline/Verdicts.ts"

const figures: Readonly<Record<string, (machine: Machine.Machine) => Promise<string>>> = {
  a: Drain.run,
  b: Latency.run,
  c: Verdicts.run,
  d: Flow.run,
  e: Readable.run,
  f: Idle.run,
  g: Growth.memory,
  h: Growth.transactions
}

const { values } = parseArgs({ options: { only: { type: "string" } } })
const names = values.only?.split(",") ?? Object.keys(figures)
const unknown = names.filter((name) => !(name in figures))
if (unknown.length > 0) {
  throw new Error(`there is no figure ${unknown.join(", ")}; there are ${Object.keys(figures).join(", ")}`)
}

const startedAt = performance.now()
const machine = await Machine.start()
try {
  process.stdout.write(`${Machine.describe()}\n`)
  for (const name of names) {
    process.stdout.write(`\n${await figures[name]?.(machine)}\n`)
  }
  process.stdout.write(`\n${Math.round((performance.now() - startedAt) / 1_000)} s in all.\n`)
} finally {
  await Program.stopAll()
  await machine.stop()
}
