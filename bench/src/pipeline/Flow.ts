/**
 * d. The whole flow at once: invoices are created over HTTP by the api program, relayed and judged, and their verdicts
 * are relayed. Each program is a process. The load is node:http in a process of its own, first at a steady rate, then
 * as fast as it goes.
 */
import type * as Database from "./Database.ts"
import { type Latencies, millis, rate, setting, table, until, whole } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"
import * as Topics from "./Topics.ts"

const perSecond = setting("BENCH_CREATES", 2_200)
const seconds = setting("BENCH_FLOW_SECONDS", 20)
const connections = setting("BENCH_CONNECTIONS", 32)

export interface Load {
  readonly created: number
  readonly failed: number
  readonly millis: number
  readonly latency: Latencies
}

interface Sample {
  readonly created: number
  /** Invoices without a verdict. */
  readonly pending: number
  /** Events of invoices and of verdicts that are not on Kafka yet. */
  readonly unsent: number
}

const outputs = ["new_invoice", "invoice_approved", "invoice_rejected"]

/** Sequences cost nothing to read: an invoice takes one number of the first, and one of the second for each version. */
const positions = `
select case when i.is_called then i.last_value else 0 end as invoices,
  case when e.is_called then e.last_value else 0 end as events
from invoice_position_seq i, outbox_seq e`

const sampler = async (database: Database.Database, topics: Topics.Topics) => {
  const read = async () => {
    const [row] = await database.query<{ invoices: bigint; events: bigint }>(positions)
    const records = await Promise.all(outputs.map(topics.records))
    return {
      invoices: Number(row?.invoices),
      events: Number(row?.events),
      records: records.reduce((sum, count) => sum + count, 0)
    }
  }
  const before = await read()
  return async (): Promise<Sample> => {
    const now = await read()
    const created = now.invoices - before.invoices
    const events = now.events - before.events
    return { created, pending: 2 * created - events, unsent: events - (now.records - before.records) }
  }
}

/** The programs of the pipeline on a database of their own. */
export const programs = async (machine: Machine, database: Database.Database) => {
  const environment = { DATABASE_URL: database.url, KAFKA_BROKERS: machine.brokers }
  const validator = await Program.start("validator", environment)
  const relay = await Program.start("relay", environment)
  const api = await Program.start("api", environment)
  return {
    url: api.urls["api"] ?? "",
    all: { api, relay, validator },
    stop: async () => {
      for (const program of [api, relay, validator]) await program.stop()
    }
  }
}

const cpu = async (all: Readonly<Record<string, Program.Program>>): Promise<ReadonlyArray<readonly [string, number]>> =>
  Promise.all(Object.entries(all).map(async ([name, program]) => [name, await program.cpuSeconds()] as const))

const loaded = async (
  database: Database.Database,
  topics: Topics.Topics,
  { all, url }: Awaited<ReturnType<typeof programs>>,
  offered: number | undefined,
  seconds: number
) => {
  const sample = await sampler(database, topics)
  const cpuBefore = new Map(await cpu(all))
  const startedAt = performance.now()
  const load = Program.measure<Load>("FlowLoad.ts", { url, connections, perSecond: offered, seconds })
  let done = false
  const finished = load.finally(() => {
    done = true
  })
  const samples: Array<Sample> = []
  while (!done) {
    samples.push(await sample())
    await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 1_000))])
  }
  const answer = await finished
  const atEnd = await sample()
  const endedAt = performance.now()
  const last = await until(sample, ({ pending, unsent }) => pending <= 0 && unsent <= 0, {
    every: 50,
    timeoutSeconds: 120
  })
  const gone = performance.now() - endedAt
  const used = (await cpu(all)).map(
    ([name, now]) =>
      `${name} ${((now - (cpuBefore.get(name) ?? 0)) / ((performance.now() - startedAt) / 1_000)).toFixed(2)}`
  )
  return { answer, samples, atEnd, gone, last, used }
}

export const run = async (machine: Machine): Promise<string> => {
  const database = await machine.database()
  const topics = await Topics.connect(machine.brokers)
  const running = await programs(machine, database)
  // a first run without a measurement warms up the compiler and the caches
  await loaded(database, topics, running, 500, 3)
  const rows: Array<ReadonlyArray<string>> = []
  const details: Array<string> = []
  for (const offered of [perSecond, undefined]) {
    const { answer, atEnd, gone, samples, used } = await loaded(database, topics, running, offered, seconds)
    const name = offered === undefined ? `as fast as ${connections} connections go` : `${whole(offered)}/s offered`
    const settled = answer.created - atEnd.pending
    rows.push([
      name,
      whole(rate(answer.created, answer.millis)),
      whole(rate(settled, answer.millis)),
      whole(Math.max(...samples.map(({ pending }) => pending))),
      whole(Math.max(...samples.map(({ unsent }) => unsent))),
      (gone / 1_000).toFixed(1),
      millis(answer.latency.p50),
      millis(answer.latency.p99),
      String(answer.failed)
    ])
    details.push(
      `${name}: pending each second ${samples.map(({ pending }) => pending).join(" ")}; not on Kafka yet ` +
        `${samples.map(({ unsent }) => Math.max(0, unsent)).join(" ")}; cores used: ${used.join(", ")}`
    )
  }
  await running.stop()
  await topics.disconnect()
  await database.disconnect()
  return `d. The whole flow for ${seconds} s, load by node:http (goal: 2,000 invoices/s, no growing backlog)\n\n${table(
    [
      [
        "Load",
        "created/s",
        "verdicts/s",
        "most pending",
        "most not on Kafka",
        "gone after s",
        "create p50 ms",
        "p99 ms",
        "failed"
      ],
      ...rows
    ]
  )}\n\n${details.join("\n\n")}`
}
