/**
 * The port to whatever carries messages away.
 *
 * Adapters prove themselves with `MessagingContract` of `@invoice/testing`.
 */
import { Context, type Effect } from "effect"
import type { PublishRefused, PublishTransient } from "../InvoiceError.ts"
import type { Message } from "../InvoiceEvent.ts"

export class MessagePublisher extends Context.Service<
  MessagePublisher,
  {
    /**
     * Resolves when every message is durable where it goes; messages of one key keep their order within a topic.
     * After `PublishTransient` any part of the batch may have been sent: send all of it again (consumers are idempotent).
     * After `PublishRefused` all is durable but the records that it names and what follows them of their topic and key.
     */
    readonly publish: (messages: ReadonlyArray<Message>) => Effect.Effect<void, PublishTransient | PublishRefused>
    /** Succeeds when the broker answers. */
    readonly ready: Effect.Effect<void, PublishTransient>
  }
>()("@invoice/core/ports/MessagePublisher") {}
