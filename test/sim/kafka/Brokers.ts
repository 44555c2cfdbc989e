/**
 * A model of a Kafka cluster, as far as producing needs it: brokers that come and go, partitions with a leader that
 * moves, and idempotent producers whose records carry sequence numbers. What a leader has appended under `acks=all` is
 * on all replicas, so a new leader has it too.
 */
import type { Random } from "../../faults/Random.ts"
import type { Engine } from "../Engine.ts"

/** A record as kafkajs' producer passes it. */
export interface Outgoing {
  readonly key: unknown
  readonly value: unknown
  readonly headers?: Readonly<Record<string, unknown>>
}

export interface Stored {
  readonly offset: number
  /** When it was appended, in milliseconds. */
  readonly at: number
  readonly key: string | null
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/** A producer as a leader knows it, with its last batches: a batch that comes again is not appended again. */
interface Producer {
  epoch: number
  lastSequence: number
  readonly batches: Array<{ readonly first: number; readonly last: number; readonly offset: number }>
}

const rememberedBatches = 5

export class Partition {
  readonly topic: string
  readonly id: number
  leader: number
  /** The leader before the last move, which brokers that don't know of the move still name. */
  formerLeader: number
  movedAt = Number.NEGATIVE_INFINITY
  readonly log: Array<Stored> = []
  readonly producers = new Map<number, Producer>()

  constructor(topic: string, id: number, leader: number) {
    this.topic = topic
    this.id = id
    this.leader = leader
    this.formerLeader = leader
  }
}

export interface Node {
  readonly id: number
  isUp: boolean
  /** Counts the broker's starts: connections to an earlier start are dead. */
  incarnation: number
}

export interface TopicData {
  readonly topic: string
  readonly partitions: ReadonlyArray<{
    readonly partition: number
    readonly firstSequence: number
    readonly messages: ReadonlyArray<Outgoing>
  }>
}

/** Kafka's error codes that the model uses. */
export const codes = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderForPartition: 6,
  messageTooLarge: 10,
  groupLoadInProgress: 14,
  groupCoordinatorNotAvailable: 15,
  notCoordinatorForGroup: 16,
  notEnoughReplicas: 19,
  illegalGeneration: 22,
  unknownMemberId: 25,
  rebalanceInProgress: 27,
  topicAuthorizationFailed: 29,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  unknownProducerId: 59
} as const

/** How long a broker may still name the former leader, in milliseconds. */
const staleMillis = 150

const textOf = (value: unknown): string | null =>
  value === null || value === undefined
    ? null
    : value instanceof Uint8Array
      ? Buffer.from(value).toString()
      : String(value)

const bytesOf = (value: unknown): Uint8Array =>
  value instanceof Uint8Array ? value : Buffer.from(value === null || value === undefined ? "" : String(value))

export class Brokers {
  readonly engine: Engine
  readonly nodes: ReadonlyArray<Node>
  readonly topics = new Map<string, ReadonlyArray<Partition>>()
  /** Topics for which the right to write is revoked now. */
  readonly denied = new Set<string>()
  /** Larger values are refused. */
  maxBytes = 1_000
  /** With fewer brokers than this, nothing is appended. */
  minInSync = 1
  /** How many batches were appended. */
  appends = 0
  /** How often each error was the answer to a produce or fetch request, by its code. */
  readonly errors = new Map<number, number>()
  /** How often a partition got another leader. */
  moves = 0
  /** How many records came again and were not appended again. */
  deduplicated = 0
  private readonly random: Random
  private producerIds = 0
  private readonly listeners = new Set<() => boolean>()

  constructor(engine: Engine, random: Random, nodes: number) {
    this.engine = engine
    this.random = random
    this.nodes = Array.from({ length: nodes }, (_, id) => ({ id, isUp: true, incarnation: 1 }))
  }

  create(topic: string, partitions: number): ReadonlyArray<Partition> {
    const made = Array.from({ length: partitions }, (_, id) => new Partition(topic, id, id % this.nodes.length))
    this.topics.set(topic, made)
    return made
  }

  partition(topic: string, id: number): Partition | undefined {
    return this.topics.get(topic)?.[id]
  }

  get up(): ReadonlyArray<Node> {
    return this.nodes.filter(({ isUp }) => isUp)
  }

  /** Another broker leads the partition from now on. */
  move(partition: Partition, leader: number): void {
    if (partition.leader === leader) return
    partition.formerLeader = partition.leader
    partition.leader = leader
    partition.movedAt = this.engine.now
    this.moves += 1
  }

  /** Stops a broker: the partitions that it leads get other leaders. */
  stop(node: Node): void {
    node.isUp = false
    node.incarnation += 1
    const others = this.up
    for (const partition of [...this.topics.values()].flat()) {
      if (partition.leader === node.id && others.length > 0) this.move(partition, this.random.pick(others).id)
    }
  }

  start(node: Node): void {
    node.isUp = true
    // partitions whose leader is down get this broker as their leader
    for (const partition of [...this.topics.values()].flat()) {
      if (this.nodes[partition.leader]?.isUp !== true) this.move(partition, node.id)
    }
  }

  /** @param listener called after each append, until it answers true */
  onAppend(listener: () => boolean): void {
    this.listeners.add(listener)
  }

  /** Appends a record without a producer's checks. */
  put(topic: string, id: number, record: Omit<Stored, "offset" | "at">): void {
    const partition = this.partition(topic, id)
    if (partition === undefined) throw new Error(`there is no partition ${topic}/${id}`)
    partition.log.push({ ...record, offset: partition.log.length, at: this.engine.now })
    this.appended()
  }

  initProducerId(): number {
    return ++this.producerIds
  }

  /** The leader that a broker names; it may not know of the last move yet. */
  leaderSeenBy(node: Node, partition: Partition): number {
    const isStale =
      node.id !== partition.leader &&
      this.nodes[partition.formerLeader]?.isUp === true &&
      this.engine.now - partition.movedAt < staleMillis
    return isStale ? partition.formerLeader : partition.leader
  }

  /** Answers an error's code, or the offset of the first record. */
  append(
    node: Node,
    producer: { readonly id: number; readonly epoch: number },
    topic: string,
    { firstSequence, messages, partition: id }: TopicData["partitions"][number]
  ): { readonly errorCode: number; readonly baseOffset: number } {
    const fail = (errorCode: number) => {
      this.failed(errorCode)
      return { errorCode, baseOffset: -1 }
    }
    const partition = this.partition(topic, id)
    if (partition === undefined) return fail(codes.unknownTopicOrPartition)
    if (this.denied.has(topic)) return fail(codes.topicAuthorizationFailed)
    if (partition.leader !== node.id) return fail(codes.notLeaderForPartition)
    if (messages.some(({ value }) => bytesOf(value).length > this.maxBytes)) return fail(codes.messageTooLarge)
    if (this.up.length < this.minInSync) return fail(codes.notEnoughReplicas)
    const last = firstSequence + messages.length - 1
    const known = partition.producers.get(producer.id)
    if (known !== undefined && known.epoch === producer.epoch) {
      const again = known.batches.find((batch) => batch.first === firstSequence && batch.last === last)
      if (again !== undefined) {
        this.deduplicated += messages.length
        return { errorCode: codes.none, baseOffset: again.offset }
      }
      if (firstSequence !== known.lastSequence + 1) {
        return fail(last <= known.lastSequence ? codes.duplicateSequenceNumber : codes.outOfOrderSequenceNumber)
      }
    }
    const offset = partition.log.length
    for (const { headers, key, value } of messages) {
      partition.log.push({
        offset: partition.log.length,
        at: this.engine.now,
        key: textOf(key),
        value: bytesOf(value),
        headers: Object.fromEntries(Object.entries(headers ?? {}).map(([name, header]) => [name, textOf(header) ?? ""]))
      })
    }
    const batches = [...(known?.batches ?? []), { first: firstSequence, last, offset }].slice(-rememberedBatches)
    partition.producers.set(producer.id, { epoch: producer.epoch, lastSequence: last, batches })
    this.appended()
    return { errorCode: codes.none, baseOffset: offset }
  }

  failed(code: number): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
  }

  private appended(): void {
    this.appends += 1
    for (const listener of [...this.listeners]) if (listener()) this.listeners.delete(listener)
  }
}
