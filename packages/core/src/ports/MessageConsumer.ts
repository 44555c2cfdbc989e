/**
 * The port to whatever brings messages.
 *
 * Adapters prove themselves with `MessagingContract` of `@invoice/testing`.
 */
import { Context, type Effect, type Stream } from "effect"
import type { ConsumerUnavailable } from "../InvoiceError.ts"
import type { Message } from "../InvoiceEvent.ts"

/** Messages of one partition, in order. */
export interface MessageBatch {
  readonly topic: string
  readonly partition: number
  /** At least one. */
  readonly messages: ReadonlyArray<Message>
  /**
   * Says that all of the batch is handled; the next one of its partition comes only then (back-pressure). What was
   * never acknowledged comes again to whoever has the partition next.
   */
  readonly acknowledge: Effect.Effect<void>
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
     * hand at once, so handle them concurrently.
     */
    readonly subscribe: (subscription: Subscription) => Stream.Stream<MessageBatch, ConsumerUnavailable>
  }
>()("@invoice/core/ports/MessageConsumer") {}
