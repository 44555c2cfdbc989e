import { Deferred, Effect, Exit, Queue } from "effect"
import type { KafkaMessage } from "kafkajs"
import type { Delivery } from "./Delivery.ts"
import { after } from "./Offsets.ts"
import { incoming } from "./Records.ts"

export interface Options {
  readonly topic: string
  readonly partition: number
  readonly queue: Queue.Enqueue<Delivery>
  readonly maxBatch: number
  /** Called when everything up to the record `last` is handled; the partition goes on at `next`. */
  readonly acknowledged: (last: string, next: string) => void
  /** Makes the partition go on at an earlier offset. */
  readonly rewind: (offset: string) => void
}

export interface Fetched {
  readonly messages: ReadonlyArray<KafkaMessage>
  /** Where the fetch began. */
  readonly from: string
  /** The offset of its last record, which may be one that kafkajs shows to nobody (a transaction marker). */
  readonly last: string
}

/** The fetched records of a partition on their way to the subscriber: one bounded batch after the other. */
export class PartitionQueue {
  /** Done when all records are acknowledged, or the rest was given back. */
  readonly done = Deferred.makeUnsafe<void>()
  private readonly options: Options
  private readonly fetched: Fetched
  /** Index of the first message of the batch in hand. */
  private index = 0
  private from: string

  constructor(options: Options, fetched: Fetched) {
    this.options = options
    this.fetched = fetched
    this.from = fetched.from
    this.handOut()
  }

  get isDone(): boolean {
    return Deferred.isDoneUnsafe(this.done)
  }

  /** Gives back what is in hand and hands out nothing more. */
  close(): void {
    Deferred.doneUnsafe(this.done, Exit.void)
  }

  private handOut(): void {
    const { maxBatch, partition, queue, topic } = this.options
    const { index, from } = this
    const messages = this.fetched.messages.slice(index, index + maxBatch)
    const end = index + messages.length
    const last = end < this.fetched.messages.length ? messages.at(-1)?.offset : this.fetched.last
    if (last === undefined) {
      this.close()
      return
    }
    const next = after(last)
    const isHeld = (): boolean => this.index === index && !this.isDone
    Queue.offerUnsafe(queue, {
      isHeld,
      batch: {
        topic,
        partition,
        messages: messages.map((message) => incoming(topic, message)),
        offsets: messages.map(({ offset }) => offset),
        from,
        next,
        acknowledge: Effect.sync(() => {
          if (!isHeld()) return
          this.options.acknowledged(last, next)
          this.index = end
          this.from = next
          if (end < this.fetched.messages.length) this.handOut()
          else this.close()
        }),
        rewind: (offset) =>
          Effect.sync(() => {
            if (!isHeld()) return
            this.options.rewind(offset)
            this.close()
          }),
        isHeld: Effect.sync(isHeld)
      }
    })
  }
}
