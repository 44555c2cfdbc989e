import type { Located, Message } from "@invoice/core/Message"
import { Effect, Hash } from "effect"
import { ConsumerGroup } from "./ConsumerGroup.ts"
import { Partition } from "./Partition.ts"

/** A topic of the in-process broker: its partitions and the groups that read them. */
export class Topic {
  private readonly name: string
  private readonly partitions: ReadonlyArray<Partition>
  private readonly groups = new Map<string, ConsumerGroup>()
  private readonly maxBatch: number
  private readonly keptByPartition: number
  private turn = 0

  constructor(name: string, partitions: number, maxBatch: number, kept: number) {
    this.name = name
    this.partitions = Array.from({ length: partitions }, () => new Partition())
    this.maxBatch = maxBatch
    this.keptByPartition = Math.ceil(kept / partitions)
  }

  /** A group by name; a new one begins with the oldest message that is kept. */
  group(name: string): ConsumerGroup {
    const known = this.groups.get(name)
    if (known !== undefined) return known
    const group = new ConsumerGroup(this.name, this.partitions, this.maxBatch)
    this.groups.set(name, group)
    return group
  }

  /** Succeeds when all groups that are known now have acknowledged the messages. */
  publish(messages: ReadonlyArray<Message>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const ends = new Map<number, number>()
      for (const message of messages) {
        const partition = this.partitionOf(message.key)
        const log = this.partitions[partition]
        log?.append(message)
        ends.set(partition, log?.end ?? 0)
      }
      const groups = [...this.groups.values()]
      for (const group of groups) group.serve()
      for (const partition of ends.keys()) this.trim(partition)
      return Effect.forEach(
        groups.flatMap((group) => [...ends].map(([partition, end]) => group.reached(partition, end))),
        (reached) => reached,
        { discard: true }
      )
    })
  }

  /** Everything that is kept now, partition by partition. */
  get contents(): ReadonlyArray<Located> {
    return this.partitions.flatMap((log, partition) =>
      log
        .read(log.start, log.end - log.start)
        .map((message, index) => ({ message, partition, offset: `${log.start + index}` }))
    )
  }

  private partitionOf(key: string | undefined): number {
    if (key === undefined) return this.turn++ % this.partitions.length
    return Math.abs(Hash.string(key) % this.partitions.length)
  }

  private trim(partition: number): void {
    const positions = [...this.groups.values()].map((group) => group.position(partition))
    this.partitions[partition]?.trim(Math.min(...positions, Number.POSITIVE_INFINITY), this.keptByPartition)
  }
}
