/** A consumer of kafkajs whose group does what a test says: when it joins, what it fetches, and what becomes of both. */
import type { EachBatchPayload, PartitionAssigner } from "kafkajs"
import type { ConsumerClient, KafkaClient } from "../src/kafka/index.ts"
import { KafkaModel } from "./KafkaModel.ts"

const nothing = async (): Promise<void> => {}

/** The two requests of a try to join. */
export interface Coordinator {
  readonly joinGroup: () => Promise<unknown>
  readonly syncGroup: () => Promise<unknown>
}

export class ConsumerModel {
  readonly paused = new Set<number>()
  disconnected = false
  readonly client: ConsumerClient
  coordinator: Coordinator = { joinGroup: nothing, syncGroup: nothing }
  /** What reading the metadata comes to. */
  metadata: () => Promise<void> = nothing
  private readonly listeners = new Map<string, (event: never) => void>()
  private readonly cluster: {
    readonly findGroupCoordinator: (group: { readonly groupId: string }) => Promise<Coordinator>
    readonly refreshMetadata: () => Promise<void>
    readonly getNodeIds: () => ReadonlyArray<string>
  }
  private eachBatch: (payload: EachBatchPayload) => Promise<void> = nothing

  constructor(assigners: ReadonlyArray<PartitionAssigner>) {
    this.cluster = {
      findGroupCoordinator: async () => this.coordinator,
      refreshMetadata: () => this.metadata(),
      getNodeIds: () => ["0"]
    }
    for (const assigner of assigners) {
      // only this much of a cluster is used
      assigner({ cluster: this.cluster as never, groupId: "g", logger: undefined as never })
    }
    this.client = {
      connect: nothing,
      disconnect: async () => {
        this.disconnected = true
      },
      subscribe: nothing,
      run: async ({ eachBatch } = {}) => {
        this.eachBatch = eachBatch ?? nothing
        await this.join()
      },
      pause: (topics) => {
        for (const partition of topics.flatMap(({ partitions = [] }) => partitions)) this.paused.add(partition)
      },
      resume: (topics) => {
        for (const partition of topics.flatMap(({ partitions = [] }) => partitions)) this.paused.delete(partition)
      },
      seek: () => {},
      commitOffsets: nothing,
      on: (name: string, listener: (event: never) => void) => this.listeners.set(name, listener)
    }
  }

  /** As kafkajs joins; rejects when it fails, which kafkajs may pass over. */
  async join(): Promise<void> {
    const coordinator = await this.cluster.findGroupCoordinator({ groupId: "g" })
    await coordinator.joinGroup()
    await this.cluster.refreshMetadata()
    await coordinator.syncGroup()
    this.emit("consumer.group_join", {})
  }

  /** As each of kafkajs' fetchers asks before it fetches; what it throws ends the fetcher. */
  nodeIds(): ReadonlyArray<string> {
    return this.cluster.getNodeIds()
  }

  emit(name: string, payload: object): void {
    // the listener of this name takes this payload
    this.listeners.get(name)?.({ payload } as never)
  }

  deliver(payload: EachBatchPayload): Promise<void> {
    return this.eachBatch(payload)
  }
}

/** Makes a consumer for every session. */
export class ConsumersModel implements KafkaClient {
  readonly consumers: Array<ConsumerModel> = []
  readonly brokers = new KafkaModel(1)
  readonly producer = this.brokers.producer
  admin: KafkaClient["admin"] = this.brokers.admin

  constructor(topic: string) {
    this.brokers.create(topic, 1)
  }

  readonly consumer: KafkaClient["consumer"] = ({ partitionAssigners = [] }) => {
    const consumer = new ConsumerModel(partitionAssigners)
    this.consumers.push(consumer)
    return consumer.client
  }
}
