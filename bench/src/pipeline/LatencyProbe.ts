/** Writes at a steady rate, to the outbox or to Kafka, and consumes: one process, so one clock. */
import { PgClient } from "@effect/sql-pg"
import { KafkaConsumer } from "@invoice/adapters/kafka"
import { MessageConsumer } from "@invoice/core"
import { Effect, ManagedRuntime, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Kafka, logLevel, Partitioners } from "kafkajs"
import { latencies, until } from "./Figures.ts"
import type { Answer } from "./Latency.ts"
import { steadily } from "./Load.ts"
import { answer, input } from "./Program.ts"

const { brokers, perSecond, seconds, topic, url, what } = input<{
  readonly what: "outbox" | "kafka"
  readonly url: string
  readonly brokers: string
  readonly topic: string
  readonly perSecond: number
  readonly seconds: number
}>()
const addresses = brokers.split(",")

const begun: Array<number> = []
const written: Array<number> = []
const seen: Array<number> = []

const consumer = ManagedRuntime.make(KafkaConsumer.layer({ brokers: addresses }))
const consuming = new AbortController()
consumer
  .runPromise(
    Effect.flatMap(MessageConsumer, (port) =>
      port.subscribe({ topic, group: `${topic}_${process.pid}` }).pipe(
        Stream.runForEach((batch) => {
          const now = performance.now()
          for (const { value } of batch.messages) {
            seen[Number(new TextDecoder().decode(value))] ??= now
          }
          return batch.acknowledge
        })
      )
    ),
    { signal: consuming.signal }
  )
  // the interruption at the end rejects it
  .catch(() => undefined)

const insert = `insert into outbox_event (lane, topic, key, ver, type, payload, headers)
  values (0, $1, $2, 1, 'bench', convert_to($2, 'UTF8'), '{}')`

type Write = (index: number) => Promise<unknown>

const toOutbox = (): { readonly write: Write; readonly stop: () => Promise<unknown> } => {
  const runtime = ManagedRuntime.make(PgClient.layer({ url: Redacted.make(url), maxConnections: 8 }))
  return {
    write: (index) =>
      runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(insert, [topic, String(index)]))),
    stop: () => runtime.dispose()
  }
}

/** One send at a time, with all messages that wait: an idempotent producer can't be faster without losing order. */
const toKafka = async (): Promise<{ readonly write: Write; readonly stop: () => Promise<unknown> }> => {
  const producer = new Kafka({ brokers: addresses, logLevel: logLevel.NOTHING }).producer({
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.JavaCompatiblePartitioner
  })
  await producer.connect()
  let waiting: Array<{ readonly index: number; readonly done: () => void }> = []
  let sending = false
  const flush = async (): Promise<void> => {
    sending = true
    while (waiting.length > 0) {
      const some = waiting
      waiting = []
      await producer.send({
        topic,
        acks: -1,
        messages: some.map(({ index }) => ({ key: String(index), value: String(index) }))
      })
      for (const { done } of some) done()
    }
    sending = false
  }
  return {
    write: (index) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ index, done: resolve })
        if (!sending) flush().catch(reject)
      }),
    stop: () => producer.disconnect()
  }
}

const { stop, write } = what === "outbox" ? toOutbox() : await toKafka()
const warmUp = 3 * perSecond
const startedAt = performance.now()
await steadily(perSecond, seconds + 3, async (index) => {
  begun[index] = performance.now()
  await write(index)
  written[index] = performance.now()
})
const elapsed = (performance.now() - startedAt) / 1_000
const count = begun.length
await until(
  async () => Array.from({ length: count }, (_, index) => seen[index] !== undefined),
  (all) => all.every(Boolean),
  { every: 100, timeoutSeconds: 60 }
)
consuming.abort()

/** At least 0: a consumer may see an event before the writer gets the answer to its commit. */
const between = (from: ReadonlyArray<number>, to: ReadonlyArray<number>) =>
  latencies(
    Array.from({ length: count - warmUp }, (_, index) =>
      Math.max(0, (to[warmUp + index] ?? 0) - (from[warmUp + index] ?? 0))
    )
  )
const figures: Answer = {
  perSecond: count / elapsed,
  seen: between(what === "outbox" ? written : begun, seen),
  written: between(begun, written)
}
answer(figures)
await stop()
await consumer.dispose()
