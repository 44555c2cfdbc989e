import type { ConsumerClient } from "./KafkaClient.ts"

/** The offset after the given one: what is committed when everything up to the given one is handled. */
export const after = (offset: string): string => (BigInt(offset) + 1n).toString()

/**
 * The offsets at which the group goes on in the partitions of a topic, as far as they are not committed yet. Commits
 * are sent apart from the handlers, since kafkajs would make each batch wait for its commit.
 */
export class Offsets {
  private readonly topic: string
  /** The next offset to read, by partition. */
  private pending = new Map<number, string>()
  private committing: Promise<void> = Promise.resolve()

  constructor(topic: string) {
    this.topic = topic
  }

  /** Everything before this offset is handled, or the partition was rewound to it. */
  goOnAt(partition: number, next: string): void {
    this.pending.set(partition, next)
  }

  /** Drops the pending offsets, since other members may have their partitions now. */
  forget(): void {
    this.pending = new Map()
  }

  /**
   * Commits run one after the other, so a caller that waits for its commit has waited for all earlier ones too. Rejects
   * when the broker did not take the offsets; they are pending again then, unless there are newer ones or they were
   * forgotten.
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
