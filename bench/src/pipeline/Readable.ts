/**
 * e. Time from creating an invoice to reading its verdict, over HTTP at a steady rate, asking every 2 ms. Baseline: a
 * bare commit of one row at the same rate.
 */
import * as Database from "./Database.ts"
import { type Latencies, latencies, millis, setting, table, whole } from "./Figures.ts"
import * as Flow from "./Flow.ts"
import { steadily } from "./Load.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"

const perSecond = setting("BENCH_READABLE", 200)
const seconds = setting("BENCH_READABLE_SECONDS", 20)

export interface Answer {
  readonly sent: Latencies
  readonly answered: Latencies
  readonly create: Latencies
}

const bareCommits = async (database: Database.Database): Promise<Latencies> => {
  await database.query("create table bench_commit (id bigint primary key, at timestamptz default clock_timestamp())")
  const { disconnect, query } = Database.connect(database.url, 8)
  const taken: Array<number> = []
  await steadily(perSecond, seconds, async (index) => {
    const startedAt = performance.now()
    await query("insert into bench_commit (id) values ($1)", [index])
    taken.push(performance.now() - startedAt)
  })
  await disconnect()
  return latencies(taken)
}

export const run = async (machine: Machine): Promise<string> => {
  const database = await machine.database()
  const { stop, url } = await Flow.programs(machine, database)
  const { answered, create, sent } = await Program.measure<Answer>("ReadableLoad.ts", { url, perSecond, seconds })
  await stop()
  const commit = await bareCommits(database)
  await database.disconnect()
  const row = (text: string, { max, p50, p99 }: Latencies) => [text, ...[p50, p99, max].map(millis)]
  return `e. Create to verdict at ${whole(perSecond)} creates/s for ${seconds} s (goal: p50 25 ms, p99 150 ms)\n\n${table(
    [
      ["What", "p50 ms", "p99 ms", "max ms"],
      row("create sent → verdict read", sent),
      row("create answered → verdict read", answered),
      row("create sent → answered", create),
      row("a bare commit of one row", commit)
    ]
  )}`
}
