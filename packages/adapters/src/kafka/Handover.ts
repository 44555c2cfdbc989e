import type { Message as Outgoing, RecordMetadata, TopicMessages } from "kafkajs"
import { outgoing } from "./Records.ts"
import type { Indexed } from "./Runs.ts"

const nameOf = (topic: string, partition: number): string => `${topic}/${partition}`

const decimal = /^\d+$/u

/** The lowest offset that a producer's next record can have, by partition. */
export type Ends = Map<string, bigint>

/**
 * The records of one send: what kafkajs was given, into which partitions it put the records, and whether the answer
 * names all of them. kafkajs resolves a send even when it has dropped records of partitions whose leader moved.
 */
export class Handover {
  readonly topicMessages: Array<TopicMessages>
  private readonly records: ReadonlyMap<Outgoing, Indexed>
  private readonly chosen = new Map<Outgoing, number>()

  constructor(records: ReadonlyArray<Indexed>) {
    const pairs = records.map((record) => [message(record), record] as const)
    this.records = new Map(pairs)
    this.topicMessages = [...Map.groupBy(pairs, ([, { message }]) => message.topic)].map(([topic, some]) => ({
      topic,
      messages: some.map(([message]) => message)
    }))
  }

  get topics(): ReadonlyArray<string> {
    return this.topicMessages.map(({ topic }) => topic)
  }

  /**
   * Notes that the partitioner has put a message into a partition. Throws, which makes kafkajs give up the send, for a
   * message that was not handed over, and when kafkajs asks again, since it is not known what it did with the first
   * try.
   */
  put(message: Outgoing, partition: number): void {
    if (!this.records.has(message)) {
      throw new Error("kafkajs asks for the partition of another object than the message that it was given")
    }
    if (this.chosen.has(message)) throw new Error("kafkajs tries by itself to send again what it may have sent")
    this.chosen.set(message, partition)
  }

  /** The records by topic and partition; empty when kafkajs has not asked for the partition of all of them. */
  get groups(): ReadonlyArray<ReadonlyArray<Indexed>> {
    if (this.chosen.size < this.records.size) return []
    const placed = [...this.records].map(([message, record]) => ({
      ...record,
      partition: this.chosen.get(message) ?? -1
    }))
    return [...Map.groupBy(placed, ({ message, partition }) => nameOf(message.topic, partition)).values()]
  }

  /** Why the answer does not acknowledge every record; undefined when it does. Remembers where the partitions end. */
  unacknowledged(answer: ReadonlyArray<RecordMetadata>, ends: Ends): string | undefined {
    if (this.chosen.size < this.records.size) {
      return "kafkajs answers a send without having asked for the partition of every message"
    }
    const open = this.counts()
    for (const { baseOffset, errorCode, partition, topicName } of answer) {
      const name = nameOf(topicName, partition)
      const count = open.get(name)
      if (count === undefined) return `the answer names ${name}, which was given nothing or is named twice`
      open.delete(name)
      if (errorCode !== 0) return `${name} has the error ${errorCode}`
      const reason = baseOffset === undefined ? undefined : offsetFault(name, baseOffset, count, ends)
      if (reason !== undefined) return reason
    }
    return open.size === 0 ? undefined : `the answer says nothing of ${[...open.keys()].join(", ")}`
  }

  private counts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const [message, { message: of }] of this.records) {
      const name = nameOf(of.topic, this.chosen.get(message) ?? -1)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    return counts
  }
}

/** A record without a key goes again to the partition that it had before; the key of a record decides its partition. */
const message = ({ message, partition }: Indexed): Outgoing =>
  message.key === undefined && partition !== undefined ? { ...outgoing(message), partition } : outgoing(message)

/** An offset below what this producer has written already: the broker took the batch for one that it has. */
const offsetFault = (name: string, baseOffset: string, count: number, ends: Ends): string | undefined => {
  if (!decimal.test(baseOffset)) return `${name} has the offset ${baseOffset}`
  const base = BigInt(baseOffset)
  const end = ends.get(name) ?? 0n
  if (base < end) return `${name} has the offset ${base} though it had reached ${end}`
  ends.set(name, base + BigInt(count))
  return undefined
}
