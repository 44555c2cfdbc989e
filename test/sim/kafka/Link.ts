/**
 * A connection of a program to a broker, with the methods of kafkajs' own `Broker`: the only part of kafkajs that is
 * modelled. Requests and answers take time on their way, and both can be lost.
 */
import { createRequire } from "node:module"
import * as Latency from "../Latency.ts"
import type { Process } from "../Process.ts"
import { type Brokers, codes, type Node, type TopicData } from "./Brokers.ts"
import type { FetchRequest } from "./Fetch.ts"
import * as Fetch from "./Fetch.ts"
import type { Groups, Joined, JoinRequest, MemberRequest, Reply, Synced, SyncRequest, TopicOffsets } from "./Groups.ts"

const load = createRequire(import.meta.url)
const { createErrorFromCode } = load("kafkajs/src/protocol/error") as {
  readonly createErrorFromCode: (code: number) => Error
}
type MakeError = new (message: string, details?: Readonly<Record<string, unknown>>) => Error

const { KafkaJSConnectionClosedError, KafkaJSConnectionError, KafkaJSRequestTimeoutError } = load(
  "kafkajs"
) as Readonly<
  Record<"KafkaJSConnectionClosedError" | "KafkaJSConnectionError" | "KafkaJSRequestTimeoutError", MakeError>
>

export const basePort = 9_000

/** How much longer kafkajs waits for an answer than a broker may hold the request, in milliseconds. */
const answerMillis = 5_000

/** How long opening a connection may take, in milliseconds. */
const connectMillis = 3_000

/** kafkajs' emitter of instrumentation events. */
export interface Emitter {
  readonly emit: (event: string, payload: Readonly<Record<string, unknown>>) => void
}

/** A program's network to the cluster, and the harm that is done to it. */
export interface Network {
  readonly process: Process
  readonly brokers: Brokers
  readonly groups: Groups
  /** In milliseconds. */
  readonly requestTimeout: number
  /** Brokers to which nothing comes through now. */
  readonly cutOff: Set<number>
  /** Brokers whose connection breaks at the next produce request, before or after the append. */
  readonly losing: Map<number, { readonly before: boolean; readonly broken: () => void }>
  readonly links: Set<Link>
  /** How many requests the network has swallowed. */
  swallowed: number
}

/** An open connection, until either side closes it. */
interface Connection {
  /** The start of the broker to which it was opened. */
  readonly incarnation: number
  isOpen: boolean
  /** Nothing comes through, and neither side gets an error. */
  isHalfOpen: boolean
  /** The requests that were sent meanwhile; they may still arrive late. */
  readonly swallowed: Array<() => void>
  readonly waiting: Set<Waiting>
}

interface Waiting {
  readonly request: Request
  readonly reject: (error: Error) => void
}

/** A request of a program. */
interface Request {
  /** Kafka's name of the request. */
  readonly api: string
  /** How long to wait for the answer, in milliseconds; default the client's. */
  readonly timeout?: number
  /** Whether the answer may take long without any harm. */
  readonly isSlow?: boolean
}

export class Link {
  nodeId: number
  readonly connectionPool: { readonly host: string; readonly port: number; rack: string | null }
  readonly versions = {}
  readonly node: Node
  private readonly network: Network
  private connection: Connection | undefined
  private connecting: Promise<void> | undefined

  private readonly emitter: Emitter | undefined

  constructor(network: Network, port: number, emitter: Emitter | undefined) {
    const node = network.brokers.nodes[port - basePort]
    if (node === undefined) throw new Error(`there is no broker at ${port}`)
    this.network = network
    this.emitter = emitter
    this.node = node
    this.nodeId = node.id
    this.connectionPool = { host: `broker-${node.id}`, port, rack: null }
    network.links.add(this)
  }

  isConnected(): boolean {
    return this.connection !== undefined
  }

  /** Opens the connection; calls in the meantime wait for the same one. */
  connect(): Promise<void> {
    if (this.isConnected()) return Promise.resolve()
    this.connecting ??= this.open().finally(() => {
      this.connecting = undefined
    })
    return this.connecting
  }

  async disconnect(): Promise<void> {
    this.close("Connection closed by the client")
  }

  /** Breaks the connection: all requests that wait for an answer fail. */
  close(why: string): void {
    const { connection } = this
    if (connection === undefined) return
    this.connection = undefined
    connection.isOpen = false
    const { host, port } = this.connectionPool
    for (const { reject } of [...connection.waiting]) reject(new KafkaJSConnectionClosedError(why, { host, port }))
  }

  /** Makes the connection half open: nothing comes through any more, and neither side gets an error. */
  cutOff(): void {
    const { connection } = this
    if (connection === undefined || connection.isHalfOpen) return
    connection.isHalfOpen = true
    this.network.swallowed += connection.waiting.size
    for (const waiting of connection.waiting) {
      if (waiting.request.isSlow !== true) this.timeOut(connection, waiting)
    }
  }

  /** Lets some of the swallowed requests arrive after all, and then resets the connection. */
  reconnect(): void {
    const { connection } = this
    if (connection === undefined || !connection.isHalfOpen) return
    const { random } = this.network.process
    for (const arrive of connection.swallowed) {
      if (random.chance(0.5)) break
      arrive()
    }
    this.close("Connection reset")
  }

  metadata(topics: ReadonlyArray<string> = []): Promise<unknown> {
    return this.request({ api: "Metadata" }, () => this.describeTopics(topics))
  }

  initProducerId(): Promise<unknown> {
    return this.request({ api: "InitProducerId" }, () => ({
      producerId: this.network.brokers.initProducerId(),
      producerEpoch: 0
    }))
  }

  produce(request: {
    readonly producerId: number
    readonly producerEpoch: number
    readonly topicData: ReadonlyArray<TopicData>
  }): Promise<unknown> {
    const { brokers, losing, process } = this.network
    const { producerEpoch, producerId, topicData } = request
    return this.request({ api: "Produce" }, () => {
      const loss = losing.get(this.node.id)
      losing.delete(this.node.id)
      if (loss?.before === true) {
        this.lose(loss.broken)
        return undefined
      }
      const producer = { id: producerId, epoch: producerEpoch }
      const topics = topicData.map(({ partitions, topic }) => ({
        topicName: topic,
        partitions: partitions.map((data) => ({
          partition: data.partition,
          logAppendTime: "-1",
          logStartOffset: "0",
          ...brokers.append(this.node, producer, topic, data)
        }))
      }))
      brokers.engine.note(`broker ${this.node.id}`, () => `takes ${describe(topics)} of ${process.name}`)
      if (loss !== undefined) this.lose(loss.broken)
      failOf(topics.flatMap(({ partitions }) => partitions))
      return {
        throttleTime: 0,
        topics: topics.map(({ partitions, topicName }) => ({
          topicName,
          partitions: partitions.map((partition) => ({ ...partition, baseOffset: String(partition.baseOffset) }))
        }))
      }
    })
  }

  findGroupCoordinator({ groupId }: { readonly groupId: string }): Promise<unknown> {
    const { groups } = this.network
    return this.request({ api: "FindCoordinator" }, () => {
      const nodeId = groups.coordinatorOf(groupId)
      return { errorCode: 0, coordinator: { nodeId, host: `broker-${nodeId}`, port: basePort + nodeId } }
    })
  }

  joinGroup(request: JoinRequest): Promise<Joined> {
    const timeout = Math.max(request.rebalanceTimeout, request.sessionTimeout) + answerMillis
    return this.ask({ api: "JoinGroup", timeout, isSlow: true }, (reply) =>
      this.network.groups.join(this.node, request, reply)
    )
  }

  syncGroup(request: SyncRequest): Promise<Synced> {
    return this.ask({ api: "SyncGroup", isSlow: true }, (reply) => this.network.groups.sync(this.node, request, reply))
  }

  heartbeat(request: MemberRequest): Promise<null> {
    return this.ask({ api: "Heartbeat" }, (reply) => this.network.groups.heartbeat(this.node, request, reply))
  }

  leaveGroup(request: Omit<MemberRequest, "groupGenerationId">): Promise<null> {
    return this.ask({ api: "LeaveGroup" }, (reply) => this.network.groups.leave(this.node, request, reply))
  }

  offsetCommit(request: MemberRequest & { readonly topics: ReadonlyArray<TopicOffsets> }): Promise<null> {
    return this.ask({ api: "OffsetCommit" }, (reply) => this.network.groups.commit(this.node, request, reply))
  }

  offsetFetch(request: { readonly groupId: string; readonly topics: ReadonlyArray<TopicOffsets> }): Promise<unknown> {
    return this.ask({ api: "OffsetFetch" }, (reply) =>
      this.network.groups.committed(this.node, request.groupId, request.topics, reply)
    )
  }

  /** Answers the first offsets (-2) or the end offsets (-1) of partitions. */
  listOffsets(request: { readonly topics: ReadonlyArray<TopicTimes> }): Promise<unknown> {
    const { brokers } = this.network
    return this.request({ api: "ListOffsets" }, () => {
      const responses = request.topics.map(({ partitions, topic }) => ({
        topic,
        partitions: partitions.map(({ partition: id, timestamp }) => {
          const partition = brokers.partition(topic, id)
          const errorCode = partition?.leader === this.node.id ? codes.none : codes.notLeaderForPartition
          const offset = Number(timestamp) === -1 ? (partition?.log.length ?? 0) : 0
          return { partition: id, errorCode, timestamp: "-1", offset: String(offset) }
        })
      }))
      failOf(responses.flatMap(({ partitions }) => partitions))
      return { responses }
    })
  }

  /** Answers as soon as there are records, or after `maxWaitTime`. */
  fetch(request: FetchRequest): Promise<unknown> {
    const { brokers } = this.network
    return this.ask({ api: "Fetch", timeout: request.maxWaitTime + answerMillis }, (reply) => {
      const answer = (): boolean => {
        const { errorCode, hasRecords, responses } = Fetch.read(brokers, this.node, request)
        if (errorCode !== 0) reply.fail(errorCode)
        else if (hasRecords) reply.succeed({ responses })
        return errorCode !== 0 || hasRecords
      }
      if (answer()) return
      const { engine } = brokers
      let isOver = false
      const end = engine.after(request.maxWaitTime, undefined, () => {
        isOver = true
        const { errorCode, responses } = Fetch.read(brokers, this.node, request)
        if (errorCode === 0) reply.succeed({ responses })
        else reply.fail(errorCode)
      })
      brokers.onAppend(() => {
        if (isOver || !answer()) return isOver
        isOver = true
        engine.cancel(end)
        return true
      })
    })
  }

  private open(): Promise<void> {
    const { cutOff, process, requestTimeout } = this.network
    return new Promise<void>((resolve, reject) => {
      const fail = (message: string): void =>
        reject(new KafkaJSConnectionError(message, { broker: this.address, code: "ECONNREFUSED" }))
      if (cutOff.has(this.node.id)) {
        this.network.swallowed += 1
        process.engine.after(Math.min(connectMillis, requestTimeout), process, () => fail("Connection timeout"))
        return
      }
      process.engine.after(this.latency(), process, () => {
        if (!this.node.isUp) {
          fail("Connection error: connect ECONNREFUSED")
          return
        }
        this.connection = {
          incarnation: this.node.incarnation,
          isOpen: true,
          isHalfOpen: false,
          swallowed: [],
          waiting: new Set()
        }
        resolve()
      })
    })
  }

  /** Sends a request that the broker answers at once, and returns the answer. */
  private request<A>(request: Request, answer: () => A): Promise<A> {
    return this.carry<A>(request, ({ reject, resolve }) => {
      try {
        resolve(answer())
      } catch (error) {
        reject(error)
      }
    })
  }

  /** Sends a request that the broker answers later, with a value or an error's code. */
  private ask<A>(request: Request, handle: (reply: Reply<A>) => void): Promise<A> {
    return this.carry<A>(request, ({ reject, resolve }) =>
      handle({ succeed: resolve, fail: (code) => reject(createErrorFromCode(code)) })
    )
  }

  private carry<A>(
    request: Request,
    handle: (answer: { readonly resolve: (value: A) => void; readonly reject: (error: unknown) => void }) => void
  ): Promise<A> {
    const { process } = this.network
    const { connection } = this
    return new Promise<A>((resolve, reject) => {
      if (connection === undefined) {
        const { host, port } = this.connectionPool
        reject(new KafkaJSConnectionClosedError("Closed connection", { host, port }))
        return
      }
      const waiting: Waiting = {
        request,
        reject: (error) => {
          connection.waiting.delete(waiting)
          reject(error)
        }
      }
      connection.waiting.add(waiting)
      if (request.isSlow === true) this.timeOut(connection, waiting)
      const back = (deliver: () => void): void => {
        if (connection.isHalfOpen || !connection.isOpen) return
        process.engine.after(this.latency(), process, () => {
          if (!connection.isHalfOpen && connection.waiting.delete(waiting)) deliver()
        })
      }
      const arrive = (): void => {
        if (this.node.incarnation !== connection.incarnation) {
          if (connection.isOpen) process.engine.after(this.latency(), process, () => this.close("Closed connection"))
          return
        }
        handle({ resolve: (value) => back(() => resolve(value)), reject: (error) => back(() => reject(error)) })
      }
      if (connection.isHalfOpen) {
        this.network.swallowed += 1
        connection.swallowed.push(arrive)
        if (request.isSlow !== true) this.timeOut(connection, waiting)
        return
      }
      // an event of the world, not of the process: a request arrives even if its sender has disconnected or is dead
      process.engine.after(this.latency(), undefined, () => {
        if (connection.isHalfOpen) connection.swallowed.push(arrive)
        else arrive()
      })
    })
  }

  private describeTopics(topics: ReadonlyArray<string>): unknown {
    const { brokers } = this.network
    const wanted = topics.length === 0 ? [...brokers.topics.keys()] : topics
    const all = brokers.nodes.map(({ id }) => id)
    return {
      throttleTime: 0,
      clusterId: "simulated",
      controllerId: brokers.up[0]?.id ?? 0,
      brokers: brokers.up.map(({ id }) => ({ nodeId: id, host: `broker-${id}`, port: basePort + id, rack: null })),
      topicMetadata: wanted.map((topic) => {
        const partitions = brokers.topics.get(topic)
        if (partitions === undefined) throw createErrorFromCode(codes.unknownTopicOrPartition)
        return {
          topicErrorCode: 0,
          topic,
          isInternal: false,
          partitionMetadata: partitions.map((partition) => {
            const leader = brokers.leaderSeenBy(this.node, partition)
            if (brokers.nodes[leader]?.isUp !== true) throw createErrorFromCode(codes.leaderNotAvailable)
            return {
              partitionErrorCode: 0,
              partitionId: partition.id,
              leader,
              replicas: all,
              isr: all,
              offlineReplicas: []
            }
          })
        }
      })
    }
  }

  private lose(broken: () => void): void {
    const { process } = this.network
    process.engine.note(`broker ${this.node.id}`, () => `the connection to ${process.name} breaks`)
    const { connection } = this
    if (connection !== undefined) connection.isHalfOpen = true
    process.engine.after(this.latency(), process, () => this.close("Closed connection"))
    broken()
  }

  private get address(): string {
    return `${this.connectionPool.host}:${this.connectionPool.port}`
  }

  private timeOut({ waiting: all }: Connection, waiting: Waiting): void {
    const { process, requestTimeout } = this.network
    const { api, timeout = 0 } = waiting.request
    process.engine.after(Math.max(requestTimeout, timeout), process, () => {
      if (!all.has(waiting)) return
      waiting.reject(new KafkaJSRequestTimeoutError(`Request ${api} to ${this.address} timed out`))
      this.emitter?.emit("network.request_timeout", { broker: this.address, apiName: api })
    })
  }

  private latency(): number {
    return Latency.broker(this.network.process.engine, this.network.process.random)
  }
}

/** Fails a whole request when one partition has an error, as kafkajs does. */
const failOf = (partitions: ReadonlyArray<{ readonly errorCode: number }>): void => {
  const failed = partitions.find(({ errorCode }) => errorCode !== 0)
  if (failed !== undefined) throw createErrorFromCode(failed.errorCode)
}

interface TopicTimes {
  readonly topic: string
  readonly partitions: ReadonlyArray<{ readonly partition: number; readonly timestamp: unknown }>
}

const describe = (
  topics: ReadonlyArray<{
    readonly topicName: string
    readonly partitions: ReadonlyArray<{
      readonly partition: number
      readonly errorCode: number
      readonly baseOffset: number
    }>
  }>
): string =>
  topics
    .flatMap(({ partitions, topicName }) =>
      partitions.map(({ baseOffset, errorCode, partition }) =>
        errorCode === 0
          ? `${topicName}/${partition} at ${baseOffset}`
          : `nothing for ${topicName}/${partition} (error ${errorCode})`
      )
    )
    .join(", ")
