import { suite } from "@invoice/testing/MessagingContract"
import { Layer } from "effect"
import { inject } from "vitest"
import { KafkaConsumer, KafkaPublisher, KafkaReader } from "../src/kafka/index.ts"

const brokers = inject("kafkaBrokers").split(",")

suite(
  "Kafka",
  Layer.mergeAll(
    KafkaPublisher.layer({ brokers, topics: [] }),
    KafkaConsumer.layer({ brokers, heartbeatInterval: "200 millis" }),
    KafkaReader.layer({ brokers })
  ),
  { durable: true, multiProcess: true, handedOverOnce: false, handledBeforePublished: false }
)
