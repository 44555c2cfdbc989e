/**
 * A cluster in memory under the producer code of kafkajs itself: leaders that move, logs that know idempotent producers,
 * and answers that a test may bend. What is modelled is the brokers; partitioning, sequence numbers, retries and the
 * joining of answers are kafkajs' own.
 */
import { createRequire } from "node:module"
import type { ICustomPartitioner, Message, PartitionMetadata, RetryOptions } from "kafkajs"
import type { AdminClient, KafkaClient, ProducerClient } from "../src/kafka/index.ts"

const load = createRequire(import.meta.url)

const createProducer: (parts: {
  readonly cluster: object
  readonly logger: object
  readonly createPartitioner: ICustomPartitioner | undefined
  readonly retry: RetryOptions
  readonly idempotent: boolean | undefined
}) => ProducerClient = load("kafkajs/src/producer")

const { createErrorFromCode }: { readonly createErrorFromCode: (code: number) => Error } =
  load("kafkajs/src/protocol/error")

export const codes = {
  unknownTopic: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  messageTooLarge: 10,
  invalidTopic: 17,
  topicAuthorization: 29,
  outOfOrderSequence: 45,
  invalidRecord: 87
} as const

interface ProducePartition {
  readonly partition: number
  readonly messages: ReadonlyArray<Message>
  readonly firstSequence: number
}

export interface ProduceRequest {
  readonly producerId: number
  readonly topicData: ReadonlyArray<{ readonly topic: string; readonly partitions: ReadonlyArray<ProducePartition> }>
}

export interface Answered {
  readonly topics: ReadonlyArray<{
    readonly topicName: string
    readonly partitions: ReadonlyArray<{
      readonly partition: number
      readonly errorCode: number
      readonly baseOffset: string
    }>
  }>
}

interface Batch {
  readonly producerId: number
  readonly firstSequence: number
  readonly baseOffset: number
  readonly count: number
}

export interface Logged {
  readonly key: string | undefined
  readonly text: string
}

interface Partition {
  leader: number
  readonly records: Array<Logged>
  readonly batches: Array<Batch>
}

export interface Topic {
  readonly partitions: ReadonlyArray<Partition>
  /** Kafka's code for a batch of records that this topic does not take, 0 for one that it takes. */
  refuses: (messages: ReadonlyArray<Message>) => number
}

const textOf = (value: Buffer | string | null): string => String(value ?? "")

export const bytesOf = (messages: ReadonlyArray<Message>): number =>
  messages.reduce((sum, { key, value }) => sum + textOf(key ?? null).length + (value?.length ?? 0) + 10, 61)

/** Refuses a batch that is larger, as `max.message.bytes` does. */
export const largerThan =
  (limit: number) =>
  (messages: ReadonlyArray<Message>): number =>
    bytesOf(messages) > limit ? codes.messageTooLarge : 0

const metadataOf = ({ partitions }: Topic): Array<PartitionMetadata> =>
  partitions.map(({ leader }, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader,
    replicas: [leader],
    isr: [leader]
  }))

export class KafkaModel implements KafkaClient {
  readonly topics = new Map<string, Topic>()
  /** Every produce request that reached a broker. */
  readonly requests: Array<{ readonly broker: number; readonly request: ProduceRequest }> = []
  /** How many producers were made. */
  producers = 0
  /** What `max.message.bytes` is said to be; undefined when nobody may know. */
  readonly limits = new Map<string, number>()
  /** Names that no topic can have. */
  readonly impossible = new Set<string>()
  mayCreate = true
  /** Before a broker looks at a produce request. */
  arriving: (broker: number, request: ProduceRequest) => Promise<void> | void = () => {}
  /** What becomes of an answer on its way back. */
  answering: (answer: Answered) => Answered = (answer) => answer
  private readonly brokers: ReadonlyArray<number>

  constructor(brokers = 3) {
    this.brokers = Array.from({ length: brokers }, (_, index) => index + 1)
  }

  /** A topic whose partitions are led by one broker after the other. */
  create(name: string, partitions: number, refuses: Topic["refuses"] = () => 0): Topic {
    const topic = {
      refuses,
      partitions: Array.from({ length: partitions }, (_, index) => ({
        leader: this.brokers[index % this.brokers.length] ?? 1,
        records: [],
        batches: []
      }))
    }
    this.topics.set(name, topic)
    return topic
  }

  /** What the topic's logs hold, partition after partition. */
  texts(name: string): ReadonlyArray<string> {
    return this.records(name).map(({ text }) => text)
  }

  records(name: string): ReadonlyArray<Logged> {
    return this.topic(name).partitions.flatMap(({ records }) => records)
  }

  /** Appends what a request asks for and tells nobody. */
  carryOut(broker: number, request: ProduceRequest): Answered {
    return {
      topics: request.topicData.map(({ topic, partitions }) => ({
        topicName: topic,
        partitions: partitions.map((one) => ({
          partition: one.partition,
          ...this.append(broker, topic, one, request.producerId)
        }))
      }))
    }
  }

  private topic(name: string): Topic {
    if (this.impossible.has(name)) throw createErrorFromCode(codes.invalidTopic)
    const topic = this.topics.get(name)
    if (topic === undefined) throw createErrorFromCode(codes.unknownTopic)
    return topic
  }

  readonly producer: KafkaClient["producer"] = ({ createPartitioner, idempotent, retry }) => {
    this.producers++
    return createProducer({
      cluster: this.cluster(this.producers),
      logger: silent,
      createPartitioner,
      retry: { retries: 3, initialRetryTime: 1, maxRetryTime: 1, ...retry },
      idempotent
    })
  }

  readonly admin = (): AdminClient => {
    const nothing = async (): Promise<void> => {}
    return {
      connect: nothing,
      disconnect: nothing,
      fetchTopicMetadata: async ({ topics } = { topics: [] }) => ({
        topics: topics.map((name) => ({ name, partitions: metadataOf(this.topic(name)) }))
      }),
      fetchTopicOffsets: async (name) =>
        this.topic(name).partitions.map(({ records: { length } }, partition) => ({
          partition,
          offset: `${length}`,
          high: `${length}`,
          low: "0"
        })),
      describeCluster: async () => ({ brokers: [], controller: 1, clusterId: "model" }),
      createTopics: async ({ topics }) => {
        if (!this.mayCreate) throw createErrorFromCode(codes.topicAuthorization)
        for (const { numPartitions, topic } of topics) this.create(topic, numPartitions ?? 1)
        return true
      },
      describeConfigs: async ({ resources }) => ({
        throttleTime: 0,
        resources: resources.map(({ name }) => {
          const limit = this.limits.get(name)
          if (limit === undefined) throw createErrorFromCode(codes.topicAuthorization)
          return {
            configEntries: [
              {
                configName: "max.message.bytes",
                configValue: `${limit}`,
                isDefault: false,
                configSource: 1,
                isSensitive: false,
                readOnly: false,
                configSynonyms: []
              }
            ],
            errorCode: 0,
            errorMessage: "",
            resourceName: name,
            resourceType: 2
          }
        })
      })
    }
  }

  readonly consumer: KafkaClient["consumer"] = () => {
    throw new Error("nobody consumes from this model")
  }

  /** What kafkajs' producer knows of the cluster: leaders as they were when it last looked. */
  private cluster(producerId: number): object {
    const known = new Map<string, Array<PartitionMetadata>>()
    const targets = new Set<string>()
    const refresh = async (): Promise<void> => {
      for (const [name, topic] of this.topics) {
        // no target stands for all topics
        if (targets.size > 0 && !targets.has(name)) continue
        if (topic.partitions.some(({ leader }) => leader < 0)) throw createErrorFromCode(codes.leaderNotAvailable)
        known.set(name, metadataOf(topic))
      }
    }
    const brokers = this.brokers.map((nodeId) => ({
      nodeId,
      initProducerId: async () => ({ producerId, producerEpoch: 0 }),
      produce: (request: ProduceRequest) => this.produce(nodeId, request)
    }))
    const broker = async ({ nodeId }: { readonly nodeId: number | string }) =>
      brokers.find((one) => `${one.nodeId}` === `${nodeId}`)
    return {
      connect: async () => {},
      disconnect: async () => {},
      isConnected: () => true,
      removeBroker: () => {},
      addMultipleTargetTopics: async (names: ReadonlyArray<string>) => {
        const areNew = names.some((name) => !targets.has(name))
        for (const name of names) targets.add(name)
        if (areNew) await refresh()
        for (const name of names) this.topic(name)
      },
      refreshMetadata: refresh,
      refreshMetadataIfNecessary: async () => {
        if (known.size === 0) await refresh()
      },
      findTopicPartitionMetadata: (name: string) => known.get(name) ?? [],
      findLeaderForPartitions: (name: string, partitions: ReadonlyArray<string>) =>
        Object.groupBy(partitions.map(Number), (partition) => known.get(name)?.[partition]?.leader ?? -1),
      findBroker: broker,
      findControllerBroker: () => broker({ nodeId: 1 })
    }
  }

  private async produce(broker: number, request: ProduceRequest): Promise<Answered> {
    this.requests.push({ broker, request })
    await this.arriving(broker, request)
    const answer = this.answering(this.carryOut(broker, request))
    // as kafkajs: the first error fails the whole answer
    const failed = answer.topics.flatMap(({ partitions }) => partitions).find(({ errorCode }) => errorCode !== 0)
    if (failed !== undefined) throw createErrorFromCode(failed.errorCode)
    return answer
  }

  private append(broker: number, topic: string, produced: ProducePartition, producerId: number) {
    const { firstSequence, messages, partition } = produced
    const { partitions, refuses } = this.topic(topic)
    const log = partitions[partition]
    const failed = (errorCode: number) => ({ errorCode, baseOffset: "-1" })
    if (log?.leader !== broker) return failed(codes.notLeader)
    const refusal = refuses(messages)
    if (refusal !== 0) return failed(refusal)
    const own = log.batches.filter((batch) => batch.producerId === producerId)
    const twin = own.find((batch) => batch.firstSequence === firstSequence && batch.count === messages.length)
    if (twin !== undefined) return { errorCode: 0, baseOffset: `${twin.baseOffset}` }
    const last = own.at(-1)
    const expected = last === undefined ? firstSequence : last.firstSequence + last.count
    if (firstSequence !== expected) return failed(codes.outOfOrderSequence)
    const baseOffset = log.records.length
    log.batches.push({ producerId, firstSequence, baseOffset, count: messages.length })
    log.records.push(
      ...messages.map(({ key, value }) => ({ key: key?.toString(), text: textOf(value).replaceAll("\0", "") }))
    )
    return { errorCode: 0, baseOffset: `${baseOffset}` }
  }
}

const nothing = (): void => {}
const silent = { namespace: () => silent, debug: nothing, info: nothing, warn: nothing, error: nothing }
