import type { Consumer } from "kafkajs"

/**
 * What is acknowledged and not committed yet, of one topic. Commits go out apart from the handlers: kafkajs would make
 * each batch wait for its commit.
 */
export class Offsets {
  private readonly topic: string
  /** The next offset to read, by partition. */
  private pending = new Map<number, string>()

  constructor(topic: string) {
    this.topic = topic
  }

  /** The last record that is handled. */
  acknowledge(partition: number, offset: string): void {
    this.pending.set(partition, (BigInt(offset) + 1n).toString())
  }

  /** What is pending belongs to partitions that others may have now. */
  forget(): void {
    this.pending = new Map()
  }

  /** Rejects when the broker did not take it; it is pending again then, unless there is newer or it was forgotten. */
  async commit(consumer: Consumer): Promise<void> {
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
