/**
 * The port that publishes messages.
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
     * Succeeds when every message is durable in its topic; messages of one topic and key keep their order.
     *
     * Fails with `PublishRefused` when the broker will never take some of the messages. All others are durable then,
     * except those behind a refused one of the same topic and key, which were not sent. Fails with `PublishTransient`
     * when it is not known what was taken: send all of the batch again, before anything later of its keys (consumers
     * are idempotent). After either failure a message may come twice, also late, behind later ones of its key; but the
     * first copies of the messages keep their order.
     */
    readonly publish: (messages: ReadonlyArray<Message>) => Effect.Effect<void, PublishTransient | PublishRefused>
    /** Succeeds when the broker answers. */
    readonly ready: Effect.Effect<void, PublishTransient>
  }
>()("@invoice/core/ports/MessagePublisher") {}
