/** Reads topics from their beginning with kafkajs itself, independent of the product's Kafka adapter. */
import { randomUUID } from "node:crypto"
import { type Admin, type Consumer, Kafka, type KafkaMessage, logLevel } from "kafkajs"
import { cureRequestQueue } from "../../packages/adapters/src/kafka/RequestQueue.ts"
import { pause, until } from "../programs/Waiting.ts"
import type { Published } from "./Oracle.ts"

/** A client without a log: its failures show as records that are missing at the end. */
export const client = (brokers: string): Kafka => {
  cureRequestQueue()
  return new Kafka({ brokers: brokers.split(","), clientId: "faults", logLevel: logLevel.NOTHING })
}

/** Records with this header are no events: this suite wrote them for a fault. */
export const foreign = "faults-foreign"

type Header = NonNullable<KafkaMessage["headers"]>[string]

/** A header that occurs twice is shown with both values, so that it differs from what was sent. */
const textOf = (header: Header): string =>
  Array.isArray(header) ? header.map(String).join(" and ") : (header?.toString("utf8") ?? "")

const publishedOf = (topic: string, partition: number, message: KafkaMessage): Published | undefined => {
  const headers = Object.fromEntries(
    Object.entries(message.headers ?? {}).map(([name, value]) => [name, textOf(value)])
  )
  if (headers[foreign] !== undefined) return undefined
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    id: headers["ce_id"] ?? `no event ${topic} ${partition} ${message.offset}`,
    key: String(message.key ?? ""),
    value: message.value?.toString("latin1") ?? "",
    headers,
    at: Number(message.timestamp)
  }
}

const electionMillis = 30_000

/** The present ends of a topic's partitions; asked again while a partition has no leader. */
const endsOf = async (admin: Admin, topic: string): Promise<Awaited<ReturnType<Admin["fetchTopicOffsets"]>>> => {
  for (const deadline = performance.now() + electionMillis; ; await pause(100)) {
    try {
      return await admin.fetchTopicOffsets(topic)
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
  }
}

export class LogReader {
  private readonly kafka: Kafka
  private readonly topics: ReadonlyArray<string>
  private readonly consumer: Consumer
  /** By topic, partition and offset, so that records that come again after a rebalance add nothing. */
  private readonly records = new Map<string, Published>()
  private readonly seen = new Set<string>()
  /** The next offset, by topic and partition. */
  private readonly reached = new Map<string, bigint>()

  private constructor(kafka: Kafka, topics: ReadonlyArray<string>) {
    this.kafka = kafka
    this.topics = topics
    this.consumer = kafka.consumer({ groupId: `faults-${randomUUID()}`, maxWaitTimeInMs: 50, metadataMaxAge: 2_000 })
  }

  static async open(brokers: string, topics: ReadonlyArray<string>): Promise<LogReader> {
    const reader = new LogReader(client(brokers), topics)
    await reader.consumer.connect()
    await reader.consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await reader.consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 3,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) reader.take(batch.topic, batch.partition, message)
        reader.reached.set(`${batch.topic} ${batch.partition}`, BigInt(batch.lastOffset()) + 1n)
      }
    })
    return reader
  }

  private take(topic: string, partition: number, message: KafkaMessage): void {
    const record = publishedOf(topic, partition, message)
    if (record === undefined) return
    this.records.set(`${topic} ${partition} ${message.offset}`, record)
    this.seen.add(record.id)
  }

  /** How many records were read so far. */
  get count(): number {
    return this.records.size
  }

  has(id: string): boolean {
    return this.seen.has(id)
  }

  /** Reads on to the present end of every partition; answers all records. */
  async toTheEnd(): Promise<ReadonlyArray<Published>> {
    const admin = this.kafka.admin()
    await admin.connect()
    try {
      for (const topic of this.topics) {
        const ends = await endsOf(admin, topic)
        await until(
          `${topic} is read`,
          () => ends.every(({ high, partition }) => (this.reached.get(`${topic} ${partition}`) ?? 0n) >= BigInt(high)),
          { seconds: 90 }
        )
      }
    } finally {
      await admin.disconnect()
    }
    return [...this.records.values()]
  }

  async close(): Promise<void> {
    await this.consumer.disconnect()
  }
}
