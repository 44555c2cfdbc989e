/** What the memory store and the memory outbox share: nothing is durable, everything happens at once. */
import { type InvoiceEvent, type OutboxEvent, Timestamp } from "@invoice/core"
import type { HistoryEntry, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Clock, Context, Effect, Layer } from "effect"
import type { Keys } from "./IdempotencyKeys.ts"

export interface Entry {
  stored: StoredInvoice
  readonly history: Array<HistoryEntry>
}

export class State extends Context.Service<
  State,
  {
    /** In the order of creation. */
    readonly invoices: Map<string, Entry>
    readonly keys: Keys
    readonly events: Array<OutboxEvent.OutboxEvent>
    /** Appends an event; call it in the same synchronous step as the change that the event describes. */
    readonly record: (draft: InvoiceEvent.Draft, at: Timestamp.Timestamp, traceparent: string | undefined) => void
  }
>()("@invoice/adapters/memory/State") {
  static readonly layer: Layer.Layer<State> = Layer.effect(
    State,
    Effect.sync(() => {
      const events: Array<OutboxEvent.OutboxEvent> = []
      const encoder = new TextEncoder()
      return {
        invoices: new Map(),
        keys: new Map(),
        events,
        record: ({ payload, ...draft }, at, traceparent) => {
          events.push({
            ...draft,
            id: crypto.randomUUID(),
            payload: encoder.encode(payload),
            at,
            ...(traceparent === undefined ? {} : { traceparent })
          })
        }
      }
    })
  )
}

/** The time of a change. */
export const now: Effect.Effect<Timestamp.Timestamp> = Effect.map(Clock.currentTimeMillis, (millis) =>
  Timestamp.fromMillis(Math.floor(millis))
)
