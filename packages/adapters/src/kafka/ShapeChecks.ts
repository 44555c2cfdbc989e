/** Runs kafkajs' own code for a moment, without a broker, to observe behaviour that its interface does not document. */
import type { EachBatchPayload, ICustomPartitioner, Message, PartitionAssigner, PartitionMetadata } from "kafkajs"
import type { ProducerClient } from "./KafkaClient.ts"

/** What `require` answers for a path within kafkajs. */
export type Load = (path: string) => unknown

const nothing = (): void => {}
const resolved = async (): Promise<void> => {}

export const silent = { namespace: () => silent, debug: nothing, info: nothing, warn: nothing, error: nothing }

interface Produced {
  readonly topicData: ReadonlyArray<{
    readonly partitions: ReadonlyArray<{ readonly firstSequence: number }>
  }>
}

export interface Sends {
  /** The messages that were handed over, and those that the partitioner was asked for. */
  readonly given: ReadonlyArray<Message>
  readonly asked: ReadonlyArray<Message>
  /** The first sequence number of each request. */
  readonly sequences: ReadonlyArray<number>
  readonly errors: ReadonlyArray<unknown>
  readonly answer: unknown
}

const leader: PartitionMetadata = { partitionErrorCode: 0, partitionId: 0, leader: 1, replicas: [1], isr: [1] }

/** Kafka's numbers for MESSAGE_TOO_LARGE and NOT_LEADER_FOR_PARTITION. */
const refused = 10
const moved = 6

/** Three sends of one message: the first is refused, the second has no leader, the third is taken. */
export const sends = async (load: Load): Promise<Sends> => {
  const createProducer = load("kafkajs/src/producer") as (parts: object) => ProducerClient
  const { createErrorFromCode } = load("kafkajs/src/protocol/error") as {
    readonly createErrorFromCode: (code: number) => Error
  }
  const codes = [refused, moved]
  const sequences: Array<number> = []
  const broker = {
    nodeId: 1,
    initProducerId: async () => ({ producerId: 1, producerEpoch: 0 }),
    produce: async ({ topicData }: Produced) => {
      sequences.push(topicData[0]?.partitions[0]?.firstSequence ?? -1)
      const code = codes.shift()
      if (code !== undefined) throw createErrorFromCode(code)
      return { topics: [{ topicName: "t", partitions: [{ partition: 0, errorCode: 0, baseOffset: "7" }] }] }
    }
  }
  const asked: Array<Message> = []
  const createPartitioner: ICustomPartitioner = () => (args) => {
    asked.push(args.message)
    return 0
  }
  const producer = createProducer({
    cluster: {
      connect: resolved,
      isConnected: () => true,
      addMultipleTargetTopics: resolved,
      refreshMetadata: resolved,
      refreshMetadataIfNecessary: resolved,
      findTopicPartitionMetadata: () => [leader],
      findLeaderForPartitions: () => ({ 1: [0] }),
      findBroker: async () => broker,
      findControllerBroker: async () => broker
    },
    logger: silent,
    createPartitioner,
    retry: { retries: Number.NaN, initialRetryTime: 1 },
    idempotent: true
  })
  await producer.connect()
  const given: Array<Message> = []
  const send = async (): Promise<unknown> => {
    const message = { key: "k", value: "v" }
    given.push(message)
    return producer.sendBatch({ acks: -1, topicMessages: [{ topic: "t", messages: [message] }] })
  }
  const errors = [await send().catch((error: unknown) => error), await send().catch((error: unknown) => error)]
  return { given, asked, sequences, errors, answer: await send() }
}

/** What a producer asks its cluster for when it fails to connect, sends no messages, and connects again. */
export const connecting = async (load: Load): Promise<ReadonlyArray<string>> => {
  const createProducer = load("kafkajs/src/producer") as (parts: object) => ProducerClient
  const steps: Array<string> = []
  let isKnown = false
  const producer = createProducer({
    cluster: {
      connect: async () => steps.push("connect"),
      addMultipleTargetTopics: async (topics: ReadonlyArray<string>) => {
        steps.push(`look at ${topics.join()}`)
        isKnown = true
      },
      refreshMetadataIfNecessary: async () => {
        if (!isKnown) throw new Error("some topic has no leader")
      },
      findTopicPartitionMetadata: () => [leader],
      findLeaderForPartitions: () => ({}),
      findControllerBroker: async () => ({
        initProducerId: async () => {
          steps.push("initProducerId")
          return { producerId: 1, producerEpoch: 0 }
        }
      })
    },
    logger: silent,
    createPartitioner: () => () => 0,
    retry: { retries: Number.NaN, initialRetryTime: 1 },
    idempotent: true
  })
  await producer.connect().catch(() => steps.push("failed"))
  await producer.sendBatch({ acks: -1, topicMessages: [{ topic: "t", messages: [] }] })
  await producer.connect().catch(() => steps.push("failed"))
  return steps
}

/** The requests of an attempt to join by the group's leader, in order. */
export const joining = async (load: Load): Promise<ReadonlyArray<string>> => {
  const ConsumerGroup = load("kafkajs/src/consumer/consumerGroup") as new (
    parts: object
  ) => { readonly joinAndSync: () => Promise<void> }
  const steps: Array<string> = []
  const coordinator = {
    joinGroup: async () => {
      steps.push("joinGroup")
      return { generationId: 1, leaderId: "this", memberId: "this", members: [], groupProtocol: "none" }
    },
    syncGroup: async () => {
      steps.push("syncGroup")
      throw new Error("the rehearsal ends here")
    }
  }
  const group = new ConsumerGroup({
    cluster: {
      findGroupCoordinator: async () => {
        steps.push("findGroupCoordinator")
        return coordinator
      },
      refreshMetadata: async () => {
        steps.push("refreshMetadata")
      }
    },
    groupId: "g",
    topics: [],
    topicConfigurations: {},
    assigners: [{ name: "none", protocol: () => ({}), assign: async () => [] }],
    logger: silent,
    instrumentationEmitter: { emit: nothing },
    retry: { retries: 0 }
  })
  await group.joinAndSync().catch(nothing)
  return steps
}

/** Whether fetchers ask the cluster which brokers there are before each fetch, and end when that throws. */
export const fetchersEnd = async (load: Load): Promise<boolean> => {
  const ConsumerGroup = load("kafkajs/src/consumer/consumerGroup") as new (
    parts: object
  ) => { readonly getNodeIds: () => ReadonlyArray<string> }
  const createFetchManager = load("kafkajs/src/consumer/fetchManager") as (parts: object) => {
    readonly start: () => Promise<void>
  }
  const ends = new Error("the rehearsal ends here")
  const cluster = { getNodeIds: (): ReadonlyArray<string> => ["0"] }
  const group = new ConsumerGroup({ cluster, logger: silent, assigners: [] })
  let fetched = 0
  const manager = createFetchManager({
    logger: silent,
    getNodeIds: () => group.getNodeIds(),
    fetch: async () => {
      fetched += 1
      cluster.getNodeIds = () => {
        throw ends
      }
      // a fetcher that asks no more would fetch for ever
      if (fetched > 2) throw new Error("it goes on")
      return []
    },
    handler: resolved
  })
  const failure = await manager.start().catch((error: unknown) => error)
  return failure === ends && fetched === 1
}

/** Whether a consumer hands the very cluster that it uses to its assigners when it is made. */
export const handsOutCluster = (load: Load): boolean => {
  const createConsumer = load("kafkajs/src/consumer") as (parts: object) => unknown
  const cluster = {}
  let seen: unknown
  const assigner = (config: { readonly cluster: unknown }): ReturnType<PartitionAssigner> => {
    seen = config.cluster
    return {
      name: "rehearsal",
      version: 0,
      assign: async () => [],
      protocol: () => ({ name: "", metadata: Buffer.of() })
    }
  }
  createConsumer({ cluster, groupId: "g", logger: silent, partitionAssigners: [assigner] })
  return seen === cluster
}

export interface Fetched {
  readonly offset: string
  readonly isControlRecord: boolean
}

export interface Handled {
  readonly payload: EachBatchPayload | undefined
  /** The resolved offsets, including those that are resolved after the batch was handled. */
  readonly resolved: ReadonlyArray<unknown>
  /** By name, the events that handling the batch emitted. */
  readonly events: ReadonlyMap<string, unknown>
}

/** What kafkajs does with a record that was fetched of partition 2, from offset 3 on. */
export const handling = async (load: Load, fetched: Fetched): Promise<Handled> => {
  const Batch = load("kafkajs/src/consumer/batch") as new (topic: string, from: string, data: object) => object
  const Runner = load("kafkajs/src/consumer/runner") as new (
    parts: object
  ) => { running: boolean; readonly handleBatch: (batch: object) => Promise<void> }
  const offsets: Array<unknown> = []
  const events = new Map<string, unknown>()
  let payload: EachBatchPayload | undefined
  const runner = new Runner({
    logger: silent,
    consumerGroup: { resolveOffset: (offset: unknown) => offsets.push(offset), heartbeat: resolved },
    instrumentationEmitter: { emit: (name: string, event: unknown) => events.set(name, event) },
    eachBatchAutoResolve: false,
    autoCommit: false,
    concurrency: 1,
    heartbeatInterval: 1,
    onCrash: nothing,
    retry: { retries: 0 },
    eachBatch: async (given: EachBatchPayload) => {
      payload = given
    }
  })
  runner.running = true
  await runner.handleBatch(
    new Batch("t", "3", { partition: 2, highWatermark: "9", messages: [fetched], abortedTransactions: [] })
  )
  return { payload, resolved: offsets, events }
}
