import type { ConsumerClient } from "./KafkaClient.ts"

/** The offset behind one: what Kafka is told when everything up to it is handled. */
export const after = (offset: string): string => (BigInt(offset) + 1n).toString()

/**
 * Where the group goes on in the partitions of a topic, as far as it is not committed yet. Commits go out apart from the
 * handlers: kafkajs would make each batch wait for its commit.
 */
export class Offsets {
  private readonly topic: string
  /** The next offset to read, by partition. */
  private pending = new Map<number, string>()
  private committing: Promise<void> = Promise.resolve()

  constructor(topic: string) {
    this.topic = topic
  }

  /** Everything before this offset is handled, or the partition was sent back to it. */
  goOnAt(partition: number, next: string): void {
    this.pending.set(partition, next)
  }

  /** What is pending belongs to partitions that others may have now. */
  forget(): void {
    this.pending = new Map()
  }

  /**
   * One after the other: whoever asks for a commit may rely on an earlier one being through as well. Rejects when the
   * broker did not take it; it is pending again then, unless there is newer or it was forgotten.
   */
  commit(consumer: Pick<ConsumerClient, "commitOffsets">): Promise<void> {
    const next = this.committing.then(() => this.send(consumer))
    this.committing = next.catch(() => {})
    return next
  }

  private async send(consumer: Pick<ConsumerClient, "commitOffsets">): Promise<void> {
    if (this.pending.size === 0) return
    const offsets = [...this.pending].map(([partition, offset]) => ({ topic: this.topic, partition, offset }))
    const pending = this.pending
    pending.clear()
    try {
      await consumer.commitOffsets(offsets)
    } catch (error) {
      for (const { partition, offset } of offsets) {
        if (!pending.has(partition)) pending.set(partition, offset)
      }
      throw error
    }
  }
}
