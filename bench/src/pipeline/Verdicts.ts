/**
 * c. Verdicts for a backlog on Kafka, by the validator program. Baselines: the same database work in a process without
 * Kafka, and the statement that writes verdicts alone. Each starts cold, on a copy of the same database.
 */
import { KafkaPublisher } from "@invoice/adapters/kafka"
import { MessagePublisher } from "@invoice/core"
import { Effect, ManagedRuntime } from "effect"
import * as Database from "./Database.ts"
import { median, rate, setting, table, times, until, whole } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"

const invoices = setting("BENCH_INVOICES", 50_000)
const rounds = setting("BENCH_ROUNDS", 2)

interface Round {
  readonly verdicts: number
  readonly fromStart: number
  readonly direct: number
  readonly statement: number
}

/** Counts decisions at no cost for the database: each takes one number of the outbox' sequence. */
const numbersTaken = async ({ query }: Database.Database): Promise<number> =>
  Number((await query<{ last_value: bigint }>("select last_value from outbox_seq"))[0]?.last_value)

const pending = async ({ query }: Database.Database): Promise<number> =>
  Number((await query<{ n: bigint }>("select count(*) as n from invoice where status = 'Pending'"))[0]?.n)

const fromKafka = async (
  machine: Machine,
  template: Database.Database,
  publish: (url: string) => Promise<unknown>
): Promise<Pick<Round, "fromStart" | "verdicts">> => {
  const database = await machine.database({ copyOf: template })
  await publish(database.url)
  const before = await numbersTaken(database)
  const startedAt = performance.now()
  const validator = await Program.start("validator", { DATABASE_URL: database.url, KAFKA_BROKERS: machine.brokers })
  const first = await until(
    () => numbersTaken(database),
    (taken) => taken > before
  )
  const firstAt = performance.now()
  await until(
    () => numbersTaken(database),
    (taken) => taken >= before + invoices
  )
  const endedAt = performance.now()
  await validator.stop()
  if ((await pending(database)) > 0) {
    throw new Error("an invoice is still pending")
  }
  await database.disconnect()
  return {
    verdicts: rate(before + invoices - first, endedAt - firstAt),
    fromStart: rate(invoices, endedAt - startedAt)
  }
}

const alone = async (machine: Machine, template: Database.Database, what: "direct" | "statement"): Promise<number> => {
  const { url } = await machine.database({ copyOf: template })
  return (await Program.measure<{ rate: number }>("VerdictsAlone.ts", { url, what })).rate
}

export const run = async (machine: Machine): Promise<string> => {
  const template = await machine.database()
  await Database.createInvoices(template, invoices)
  await template.query("vacuum analyze")
  await template.query("checkpoint")
  const publisher = ManagedRuntime.make(KafkaPublisher.layer({ brokers: machine.brokers.split(",") }))
  const publish = (url: string) =>
    Database.readEvents(url, 2_000, (events) =>
      publisher.runPromise(Effect.flatMap(MessagePublisher, (port) => port.publish(Database.toMessages(events))))
    )
  const done: Array<Round> = []
  for (let round = 0; round < rounds; round++) {
    done.push({
      ...(await fromKafka(machine, template, publish)),
      direct: await alone(machine, template, "direct"),
      statement: await alone(machine, template, "statement")
    })
  }
  await publisher.dispose()
  const of = (name: keyof Round) => median(done.map((round) => round[name]))
  const each = (name: keyof Round) => done.map((round) => whole(round[name])).join(", ")
  const row = (text: string, name: keyof Round) => [
    text,
    whole(of(name)),
    each(name),
    times(of(name), of("direct")),
    times(of(name), of("statement"))
  ]
  return `c. Verdicts from a backlog of ${whole(invoices)} on Kafka (goal: 15,000/s)\n\n${table([
    ["What", "per second (median)", "rounds", "× without Kafka", "× statement alone"],
    row("validator, from its first verdict to its last", "verdicts"),
    row("validator, from the start of the process", "fromStart"),
    row("load, judge and decide, without Kafka", "direct"),
    row("the statement that decides, alone", "statement")
  ])}`
}
