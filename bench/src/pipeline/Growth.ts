/**
 * g and h. What a large backlog and open transactions cost: memory of the relay program, time to read a page, rate of
 * the drain, and dead rows afterwards.
 */
import * as Database from "./Database.ts"
import { drain, longLease } from "./Drain.ts"
import { millis, setting, table, times, until, whole } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as OpenTransactions from "./OpenTransactions.ts"
import * as Program from "./Program.ts"
import * as Topics from "./Topics.ts"

const backlog = setting("BENCH_BACKLOG", 1_000_000)
const events = setting("BENCH_OPEN_EVENTS", 100_000)
/** The embedded Postgres takes 100 connections. */
const open = [1, 10, 75]

interface Reading {
  readonly rate: number
  /** Milliseconds of the first page and of a later one. */
  readonly first: number
  readonly page: number
}

/** The options from docs/guides/operations.md that keep a relay's memory small; by default V8 collects garbage late. */
const smallHeap = "--max-old-space-size=192 --max-semi-space-size=16"

const started = async (
  machine: Machine,
  database: Database.Database,
  topic: string,
  environment: Readonly<Record<string, string>> = {}
) => {
  const topics = await Topics.connect(machine.brokers)
  await topics.create(topic)
  const relay = await Program.start("relay", {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: machine.brokers,
    ...longLease,
    ...environment
  })
  await Database.writeEvents(database, topic, 10_000)
  await until(
    () => topics.records(topic),
    (records) => records >= 10_000
  )
  return { topics, relay }
}

/** The dead rows, which Postgres would have to vacuum. */
const deadRows = async ({ query }: Database.Database): Promise<number> => {
  const [row] = await query<{ dead: number }>(
    "select sum(n_dead_tup)::float8 as dead from pg_stat_user_tables where relname like 'outbox_event%'"
  )
  return row?.dead ?? Number.NaN
}

const reading = (url: string): Promise<Reading> => Program.measure<Reading>("GrowthRead.ts", { url })

interface Memory {
  readonly database: Database.Database
  readonly row: ReadonlyArray<string>
}

const most = (some: ReadonlyArray<number>): string => Math.max(...some).toFixed(0)

const memoryWith = async (machine: Machine, topic: string, options: string): Promise<Memory> => {
  const database = await machine.database()
  const { relay, topics } = await started(machine, database, topic, { NODE_OPTIONS: options })
  const idle = await relay.residentMegabytes()
  const sizes: Array<number> = []
  const timer = setInterval(() => {
    relay.residentMegabytes().then(
      (size) => sizes.push(size),
      () => undefined
    )
  }, 100)
  const perSecond = await drain(database, topics, relay, topic, backlog)
  clearInterval(timer)
  await relay.stop()
  const dead = await deadRows(database)
  await topics.disconnect()
  const half = Math.ceil(sizes.length / 2)
  return {
    database,
    row: [
      options === "" ? "as Node.js is" : options,
      idle.toFixed(0),
      most(sizes.slice(0, half)),
      most(sizes.slice(half)),
      whole(perSecond),
      String(dead)
    ]
  }
}

export const memory = async (machine: Machine): Promise<string> => {
  const asIs = await memoryWith(machine, "bench_backlog_default", "")
  await asIs.database.disconnect()
  const { database, row } = await memoryWith(machine, "bench_backlog", smallHeap)
  const rows = [[whole(backlog), await reading(database.url)] as const]
  for (const count of [100_000, 10_000]) {
    const small = await machine.database()
    await Database.writeEvents(small, "bench_never_sent", count)
    rows.unshift([whole(count), await reading(small.url)])
    await small.disconnect()
  }
  await database.disconnect()
  return `g. Memory of the relay with a backlog of ${whole(backlog)} (goal: flat, below 300 MB)\n\n${table([
    [
      "NODE_OPTIONS",
      "before, MB",
      "most in the first half, MB",
      "most in the second half, MB",
      "events/s",
      "dead rows in the outbox"
    ],
    asIs.row,
    row
  ])}\n\nh. Reading a backlog in pages of 1,000, without Kafka\n\n${table([
    ["Backlog", "first page ms", "a later page ms (median)", "events/s"],
    ...rows.map(([name, { first, page, rate }]) => [name, millis(first), page.toFixed(2), whole(rate)])
  ])}`
}

export const transactions = async (machine: Machine): Promise<string> => {
  const database = await machine.database()
  const other = await machine.database()
  const topic = "bench_open"
  const { relay, topics } = await started(machine, database, topic)
  const drained = async (count: number): Promise<number> => {
    const here = await OpenTransactions.begin(database.url, Math.ceil(count / 2))
    const elsewhere = await OpenTransactions.begin(other.url, Math.floor(count / 2))
    const perSecond = await drain(database, topics, relay, topic, events)
    await elsewhere.end()
    await here.end()
    return perSecond
  }
  const rows: Array<ReadonlyArray<string>> = []
  let before = await drained(0)
  for (const count of open) {
    const perSecond = await drained(count)
    const after = await drained(0)
    const around = (before + after) / 2
    rows.push([String(count), whole(perSecond), `${whole(before)}, ${whole(after)}`, times(perSecond, around)])
    before = after
  }
  await relay.stop()
  const dead = await deadRows(database)
  await topics.disconnect()
  await other.disconnect()
  await database.disconnect()
  return `h. Drain of ${whole(events)} while transactions stay open, half of them in another database (goal: within 10 %)\n\n${table(
    [["Open for the whole drain", "events/s", "none open, just before and after", "× their mean"], ...rows]
  )}\n\nDead rows in the outbox' partitions afterwards: ${dead}.`
}
