/**
 * The port to whatever carries messages away.
 *
 * Adapters prove themselves with `MessagingContract` of `@invoice/testing`.
 */
import { Context, type Effect } from "effect"
import type { PublishRefused, PublishTransient } from "../domain/InvoiceError.ts"
import type { Message } from "../domain/Message.ts"

export class MessagePublisher extends Context.Service<
  MessagePublisher,
  {
    /**
     * Succeeds when every message is durable where it goes; messages of one topic and key keep their order.
     *
     * Fails with `PublishRefused` when messages will never be taken; all others are durable then, but for those behind a
     * refused one of the same topic and key, which were not sent. Fails with `PublishTransient` when it is not known what
     * was taken: send all of the batch again, before anything later of its keys (consumers are idempotent). A message may
     * come twice after either, also late, behind later ones of its key; but of the first of each message the order holds.
     */
    readonly publish: (messages: ReadonlyArray<Message>) => Effect.Effect<void, PublishTransient | PublishRefused>
    /** Succeeds when the broker answers. */
    readonly ready: Effect.Effect<void, PublishTransient>
  }
>()("@invoice/core/ports/MessagePublisher") {}
