/**
 * b. Time from a commit to a consumer, at a steady rate of transactions of one event; the relay program polls every 5
 * ms. Baseline: the same messages at the same rate through a kafkajs producer, from the call of the producer to the
 * consumer.
 */
import { type Latencies, millis, setting, table, whole } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"
import * as Topics from "./Topics.ts"

const perSecond = setting("BENCH_TRANSACTIONS", 1_000)
const seconds = setting("BENCH_LATENCY_SECONDS", 20)

export interface Answer {
  readonly perSecond: number
  readonly seen: Latencies
  readonly written: Latencies
}

const probe = async (machine: Machine, what: "outbox" | "kafka", url: string): Promise<Answer> => {
  const topic = `bench_latency_${what}`
  const topics = await Topics.connect(machine.brokers)
  await topics.create(topic)
  await topics.disconnect()
  return Program.measure<Answer>("LatencyProbe.ts", { what, url, brokers: machine.brokers, topic, perSecond, seconds })
}

export const run = async (machine: Machine): Promise<string> => {
  const database = await machine.database()
  const relay = await Program.start("relay", {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: machine.brokers,
    DISPATCH_INTERVAL_MS: "5"
  })
  const outbox = await probe(machine, "outbox", database.url)
  await relay.stop()
  await database.disconnect()
  const kafka = await probe(machine, "kafka", database.url)
  const row = (text: string, perSecond: string, { max, p50, p99 }: Latencies) => [
    text,
    perSecond,
    ...[p50, p99, max].map(millis)
  ]
  return `b. Commit to consumer at ${whole(perSecond)} transactions/s for ${seconds} s (goal: p50 10 ms, p99 40 ms)\n\n${table(
    [
      ["What", "per second", "p50 ms", "p99 ms", "max ms"],
      row("commit answered → seen by a consumer", whole(outbox.perSecond), outbox.seen),
      row("kafkajs alone: handed over → seen by a consumer", whole(kafka.perSecond), kafka.seen),
      row("the commit itself", "", outbox.written),
      row("kafkajs alone: handed over → acknowledged", "", kafka.written)
    ]
  )}`
}
