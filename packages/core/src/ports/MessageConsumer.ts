/**
 * The port that consumes messages.
 *
 * Adapters prove themselves with `MessagingContract` of `@invoice/testing`.
 */
import { Context, type Effect, type Stream } from "effect"
import type { ConsumerUnavailable } from "../domain/InvoiceError.ts"
import type { Message } from "../domain/Message.ts"

/**
 * Messages of one partition, in order.
 *
 * Offsets are integers from 0, as decimal texts. Within a partition they rise, not always by one: a log may have been
 * compacted. A message keeps its offset however often it is delivered.
 */
export interface MessageBatch {
  readonly topic: string
  readonly partition: number
  /** At least one. */
  readonly messages: ReadonlyArray<Message>
  /** The offset of each message. */
  readonly offsets: ReadonlyArray<string>
  /**
   * The offset where this batch begins: `next` of the batch before, the offset that the group has acknowledged, or the
   * target of `rewind`. It is below `offsets[0]` when no message is left between the two, and above the requested
   * offset when the messages there are gone for good.
   */
  readonly from: string
  /** The offset where the partition goes on after this batch. */
  readonly next: string
  /**
   * Marks the whole batch as handled; only then does the next batch of its partition come (back-pressure). Messages
   * that were never acknowledged are delivered again to the next consumer of the partition.
   */
  readonly acknowledge: Effect.Effect<void>
  /**
   * Gives the batch back and goes on at this offset, which is not above `from`, or at the oldest message if the offset
   * is gone. The next consumer of the partition begins there too, unless a crash comes between. This is for a consumer
   * that keeps its own offsets and is behind what the group has acknowledged.
   */
  readonly rewind: (offset: string) => Effect.Effect<void>
  /**
   * False once the batch is acknowledged or given back. Another consumer may have it then: acknowledging it does
   * nothing, and further tries are useless.
   */
  readonly isHeld: Effect.Effect<boolean>
}

export interface Subscription {
  readonly topic: string
  /** Consumers with one group share the partitions; groups don't see one another. */
  readonly group: string
}

export class MessageConsumer extends Context.Service<
  MessageConsumer,
  {
    /**
     * Subscribes while the stream runs; closing it gives the partitions back. The stream may hand out batches of
     * several partitions at once, one of each, so handle them concurrently: a batch that takes long holds up only its
     * partition.
     */
    readonly subscribe: (subscription: Subscription) => Stream.Stream<MessageBatch, ConsumerUnavailable>
  }
>()("@invoice/core/ports/MessageConsumer") {}
