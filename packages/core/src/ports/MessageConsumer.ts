/**
 * The port to whatever brings messages.
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
   * Where this batch begins: at `next` of the batch before, at what the group has acknowledged, or where `rewind` went.
   * Below `offsets[0]` when nothing is left between them; above what was asked for when that is gone for good.
   */
  readonly from: string
  /** Where the partition goes on after this batch. */
  readonly next: string
  /**
   * Says that all of the batch is handled; the next one of its partition comes only then (back-pressure). What was
   * never acknowledged comes again to whoever has the partition next.
   */
  readonly acknowledge: Effect.Effect<void>
  /**
   * Gives the batch back and goes on at this offset, which is not above `from`, or at the oldest message if it is gone;
   * as does whoever has the partition next, unless a crash came between. For who keeps offsets elsewhere and is behind what the group has acknowledged.
   */
  readonly rewind: (offset: string) => Effect.Effect<void>
  /**
   * False once the batch is acknowledged or given back, so that somebody else may have it by now: acknowledging it does
   * nothing then, and there is no point in trying any longer.
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
     * Subscribes while the stream runs; closing it gives the partitions back. Batches of several partitions may be in
     * hand at once, one of each, so handle them concurrently: a batch that takes long holds up only its partition.
     */
    readonly subscribe: (subscription: Subscription) => Stream.Stream<MessageBatch, ConsumerUnavailable>
  }
>()("@invoice/core/ports/MessageConsumer") {}
