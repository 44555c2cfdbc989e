/** A baseline: sends an outbox's events from memory by kafkajs alone; or reads them from Postgres and discards them. */
import type { Message } from "@invoice/core/Message"
import { Kafka, logLevel, Partitioners } from "kafkajs"
import * as Database from "./Database.ts"
import { rate } from "./Figures.ts"
import { answer, input } from "./Program.ts"
import * as Topics from "./Topics.ts"

const { brokers, page, topic, url, warmUp, what } = input<{
  readonly what: "kafka" | "postgres"
  readonly url: string
  readonly brokers: string
  readonly topic: string
  readonly page: number
  readonly warmUp: number
}>()

const postgres = async (): Promise<number> => {
  let startedAt = 0
  let read = 0
  await Database.readEvents(url, page, async (events) => {
    read += events.length
    if (startedAt === 0 && read >= warmUp) {
      startedAt = performance.now()
      read = 0
    }
  })
  return rate(read, performance.now() - startedAt)
}

const outgoing = ({ headers, key, value }: Message) => ({ key: key ?? null, value: Buffer.from(value), headers })

const kafka = async (): Promise<number> => {
  const pages: Array<ReadonlyArray<ReturnType<typeof outgoing>>> = []
  await Database.readEvents(url, page, async (events) => {
    pages.push(Database.toMessages(events).map(outgoing))
  })
  const client = new Kafka({ brokers: brokers.split(","), clientId: "bench", logLevel: logLevel.NOTHING })
  const topics = await Topics.connect(brokers)
  await topics.create(topic)
  await topics.disconnect()
  const producer = client.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.JavaCompatiblePartitioner
  })
  await producer.connect()
  let startedAt = 0
  let sent = 0
  for (const messages of pages) {
    await producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages: [...messages] }] })
    sent += messages.length
    if (startedAt === 0 && sent >= warmUp) {
      startedAt = performance.now()
      sent = 0
    }
  }
  const figure = rate(sent, performance.now() - startedAt)
  await producer.disconnect()
  return figure
}

answer({ rate: await (what === "kafka" ? kafka() : postgres()) })
