/**
 * What the adapter uses of kafkajs, as a structural subset of its `Kafka`: a simulator or another client that has these
 * methods can take its place (`KafkaPublisher.publisherOver`, `KafkaConsumer.consumerOver`).
 *
 * Beyond the types the adapter relies on this behaviour:
 * - `createPartitioner` is called once for a producer. The function that it returns is called once for every message of
 *   a send, with the very object that was handed to `sendBatch`.
 * - Every partition assigner is called with the consumer's `cluster` when the consumer is made. Each attempt to join a
 *   group begins with `findGroupCoordinator` of that object and goes on with `joinGroup` and `syncGroup` of the answer.
 *   Each fetch begins with `cluster.getNodeIds`; when that throws, the fetcher ends.
 * - `resolveOffset` of a batch moves the partition also after `eachBatch` has returned.
 */
import type {
  Admin,
  Consumer,
  ConsumerConfig,
  ConsumerCrashEvent,
  ConsumerEndBatchProcessEvent,
  ConsumerFetchEvent,
  ConsumerGroupJoinEvent,
  Producer,
  ProducerConfig,
  RequestTimeoutEvent
} from "kafkajs"

export type ProducerClient = Pick<Producer, "connect" | "disconnect" | "sendBatch">

export type AdminClient = Pick<
  Admin,
  | "connect"
  | "disconnect"
  | "fetchTopicMetadata"
  | "fetchTopicOffsets"
  | "describeCluster"
  | "describeConfigs"
  | "createTopics"
>

export interface ConsumerClient
  extends Pick<
    Consumer,
    "connect" | "disconnect" | "subscribe" | "run" | "pause" | "resume" | "seek" | "commitOffsets"
  > {
  on(eventName: "consumer.group_join", listener: (event: ConsumerGroupJoinEvent) => void): unknown
  on(eventName: "consumer.fetch", listener: (event: ConsumerFetchEvent) => void): unknown
  on(eventName: "consumer.network.request_timeout", listener: (event: RequestTimeoutEvent) => void): unknown
  on(eventName: "consumer.end_batch_process", listener: (event: ConsumerEndBatchProcessEvent) => void): unknown
  on(eventName: "consumer.crash", listener: (event: ConsumerCrashEvent) => void): unknown
}

/** `producer` and `consumer` throw when their configuration is impossible. */
export interface KafkaClient {
  readonly producer: (config: ProducerConfig) => ProducerClient
  readonly consumer: (config: ConsumerConfig) => ConsumerClient
  readonly admin: () => AdminClient
}
