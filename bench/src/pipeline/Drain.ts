/**
 * a. How fast the relay program sends a backlog to Kafka. Baselines: kafkajs alone with the same messages in the same
 * pages, and reading the outbox alone. All are warmed up; the relay is stopped while the backlog is written.
 */
import * as Database from "./Database.ts"
import { median, rate, setting, table, times, until, whole } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"
import * as Topics from "./Topics.ts"

const events = setting("BENCH_EVENTS", 200_000)
const rounds = setting("BENCH_ROUNDS", 2)
const warmUp = 20_000

/** Writes a backlog while the relay is stopped, and answers how many events a second the relay then sends. */
export const drain = async (
  database: Database.Database,
  topics: Topics.Topics,
  relay: Program.Program,
  topic: string,
  count: number
): Promise<number> => {
  relay.signal("SIGSTOP")
  await Database.writeEvents(database, topic, count)
  const before = await topics.records(topic)
  const startedAt = performance.now()
  relay.signal("SIGCONT")
  await until(
    () => topics.records(topic),
    (records) => records >= before + count
  )
  return rate(count, performance.now() - startedAt)
}

/** A lease that lasts longer than the relay is stopped. */
export const longLease = { RELAY_LEASE_MS: "600000" }

const relayed = async (machine: Machine, page: number, topic: string): Promise<{ url: string; rate: number }> => {
  const database = await machine.database()
  const topics = await Topics.connect(machine.brokers)
  await topics.create(topic)
  const relay = await Program.start("relay", {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: machine.brokers,
    RELAY_PAGE: String(page),
    ...longLease
  })
  await Database.writeEvents(database, topic, warmUp)
  await until(
    () => topics.records(topic),
    (records) => records >= warmUp
  )
  const rate = await drain(database, topics, relay, topic, events)
  await relay.stop()
  await topics.disconnect()
  await database.disconnect()
  return { url: database.url, rate }
}

interface Rates {
  readonly relay: number
  readonly kafka: number
  readonly postgres: number
}

const round = async (machine: Machine, page: number, number: number): Promise<Rates> => {
  const relay = await relayed(machine, page, `bench_drain_${page}_${number}`)
  const alone = (what: "kafka" | "postgres", url: string) =>
    Program.measure<{ rate: number }>("DrainAlone.ts", {
      what,
      url,
      page,
      warmUp,
      brokers: machine.brokers,
      topic: `bench_alone_${page}_${number}`
    })
  return {
    relay: relay.rate,
    kafka: (await alone("kafka", relay.url)).rate,
    postgres: (await alone("postgres", relay.url)).rate
  }
}

export const run = async (machine: Machine): Promise<string> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (const page of [1_000, 2_000]) {
    const done: Array<Rates> = []
    for (let number = 0; number < rounds; number++) {
      done.push(await round(machine, page, number))
    }
    const row = (text: string, name: keyof Rates) => {
      const of = median(done.map((rates) => rates[name]))
      const each = done.map((rates) => whole(rates[name])).join(", ")
      const ratios = done.map((rates) => times(rates[name], rates.kafka)).join(", ")
      return [text, whole(page), whole(of), each, ratios]
    }
    rows.push(row("relay", "relay"), row("kafkajs alone", "kafka"), row("outbox read alone", "postgres"))
  }
  return `a. Relay drain of ${whole(events)} events (goal: 30,000/s and 0.7 × kafkajs alone)\n\n${table([
    ["What", "page", "per second (median)", "rounds", "× kafkajs alone, by round"],
    ...rows
  ])}`
}
