import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { Effect } from "effect"
import type { Partition } from "./Partition.ts"

/** One subscription of a group while it lasts. */
export interface Subscriber {
  /** Waits for the next batch of any partition that nobody has in hand. */
  readonly take: Effect.Effect<MessageBatch>
  /** Gives back what was not acknowledged. */
  readonly close: () => void
}

interface Taker {
  readonly subscriber: object
  readonly resume: (batch: MessageBatch) => void
}

interface Reader {
  /** Everything before this offset is acknowledged. */
  position: number
  /** Who has the batch at `position` in hand; one batch at a time keeps the order. */
  held: { readonly subscriber: object } | undefined
  /** Publishers that wait until `position` has reached their offset. */
  awaiting: Array<{ readonly end: number; readonly resume: () => void }>
}

/** The consumers of one topic that share its partitions, and how far they have come. */
export class ConsumerGroup {
  private readonly topic: string
  private readonly partitions: ReadonlyArray<Partition>
  private readonly readers: ReadonlyArray<Reader>
  private readonly maxBatch: number
  private takers: Array<Taker> = []
  private lastServed = 0

  constructor(topic: string, partitions: ReadonlyArray<Partition>, maxBatch: number) {
    this.topic = topic
    this.partitions = partitions
    this.maxBatch = maxBatch
    this.readers = partitions.map((partition) => ({ position: partition.start, held: undefined, awaiting: [] }))
  }

  /** Everything before this offset of the partition is acknowledged. */
  position(partition: number): number {
    return this.readers[partition]?.position ?? 0
  }

  /** Succeeds when everything before `end` is acknowledged. */
  reached(partition: number, end: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const reader = this.readers[partition]
      if (reader === undefined || reader.position >= end) return resume(Effect.void)
      const waiting = { end, resume: () => resume(Effect.void) }
      reader.awaiting.push(waiting)
      return Effect.sync(() => {
        reader.awaiting = reader.awaiting.filter((other) => other !== waiting)
      })
    })
  }

  subscribe(): Subscriber {
    const subscriber = {}
    return {
      take: Effect.callback<MessageBatch>((resume) => {
        const taker = { subscriber, resume: (batch: MessageBatch) => resume(Effect.succeed(batch)) }
        this.takers.push(taker)
        this.serve()
        return Effect.sync(() => {
          this.takers = this.takers.filter((other) => other !== taker)
        })
      }),
      close: () => {
        this.takers = this.takers.filter((taker) => taker.subscriber !== subscriber)
        for (const reader of this.readers) {
          if (reader.held?.subscriber === subscriber) reader.held = undefined
        }
        this.serve()
      }
    }
  }

  /** Hands batches to the subscribers that wait, as long as there are any. */
  serve(): void {
    for (;;) {
      const partition = this.takers.length === 0 ? undefined : this.nextReady()
      if (partition === undefined) return
      const taker = this.takers.shift()
      const batch = taker && this.handOut(partition, taker.subscriber)
      if (batch !== undefined) taker?.resume(batch)
    }
  }

  /** Takes turns, so that a busy partition does not starve the others. */
  private nextReady(): number | undefined {
    const count = this.readers.length
    for (let step = 1; step <= count; step++) {
      const partition = (this.lastServed + step) % count
      const reader = this.readers[partition]
      if (reader?.held === undefined && this.position(partition) < (this.partitions[partition]?.end ?? 0)) {
        this.lastServed = partition
        return partition
      }
    }
    return undefined
  }

  private handOut(partition: number, subscriber: object): MessageBatch | undefined {
    const reader = this.readers[partition]
    const from = this.position(partition)
    const messages = this.partitions[partition]?.read(from, this.maxBatch) ?? []
    if (reader === undefined || messages.length === 0) return undefined
    const held = { subscriber }
    reader.held = held
    const next = from + messages.length
    /** Does nothing for a batch that was given back meanwhile, or acknowledged before. */
    const goOnAt = (offset: () => number): void => {
      if (reader.held !== held) return
      reader.held = undefined
      this.advance(reader, offset())
      this.serve()
    }
    return {
      topic: this.topic,
      partition,
      messages,
      offsets: messages.map((_, index) => `${from + index}`),
      from: `${from}`,
      next: `${next}`,
      acknowledge: Effect.sync(() => goOnAt(() => next)),
      rewind: (offset) =>
        Effect.sync(() =>
          goOnAt(() => Math.min(from, Math.max(Number(offset), this.partitions[partition]?.start ?? 0)))
        ),
      isHeld: Effect.sync(() => reader.held === held)
    }
  }

  private advance(reader: Reader, position: number): void {
    reader.position = position
    const done = reader.awaiting.filter(({ end }) => end <= position)
    reader.awaiting = reader.awaiting.filter(({ end }) => end > position)
    for (const { resume } of done) resume()
  }
}
