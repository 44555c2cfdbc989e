import type { Message } from "@invoice/core/Message"
import { suite } from "@invoice/testing/MessagingContract"
import { Effect, Layer } from "effect"
import { Kafka, logLevel } from "kafkajs"
import { inject } from "vitest"
import { KafkaConsumer, KafkaPublisher, KafkaReader } from "../src/kafka/index.ts"

const brokers = inject("kafkaBrokers").split(",")
const maxBytes = 1_000

/** Larger than its topic takes. The topic takes so little that also a batch of records which it takes has to be divided. */
const refusable = (topic: string, key: string): Effect.Effect<Message> =>
  Effect.promise(async () => {
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const configEntries = [{ name: "max.message.bytes", value: `${maxBytes}` }]
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, configEntries }] })
    await admin.disconnect()
    return { topic, key, value: new Uint8Array(2 * maxBytes), headers: {} }
  })

suite(
  "Kafka",
  Layer.mergeAll(
    KafkaPublisher.layer({ brokers, topics: [] }),
    KafkaConsumer.layer({ brokers, heartbeatInterval: "200 millis" }),
    KafkaReader.layer({ brokers })
  ),
  { durable: true, multiProcess: true, handedOverOnce: false, handledBeforePublished: false, refuses: true },
  { refusable }
)
