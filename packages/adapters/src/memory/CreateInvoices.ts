/** Creating an invoice, with its history, its event and its idempotency key. */
import { type IdempotencyKeyReused, Invoice, InvoiceConflict, InvoiceEvent, Timestamp } from "@invoice/core"
import type { CreateOptions, Creation, InvoiceStore, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Clock, Effect, Option } from "effect"
import * as IdempotencyKeys from "./IdempotencyKeys.ts"
import type { State } from "./State.ts"

export const make =
  (state: State["Service"]): InvoiceStore["Service"]["create"] =>
  (invoice, options = {}) =>
    Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Creation, InvoiceConflict | IdempotencyKeyReused> => {
      const { idempotency } = options
      const known = idempotency && IdempotencyKeys.find(state.keys, idempotency, now)
      if (known !== undefined) {
        return known
      }
      const creation = create(state, invoice, options, Timestamp.fromMillis(Math.floor(now)))
      if (creation === undefined) {
        return Effect.fail(new InvoiceConflict({ id: invoice.id }))
      }
      if (idempotency !== undefined) IdempotencyKeys.take(state.keys, idempotency, creation, now)
      return Effect.succeed(creation)
    })

/** Undefined when there is another invoice with this id. */
const create = (
  { invoices, record }: State["Service"],
  invoice: Invoice.Invoice,
  { by = "api", traceparent }: CreateOptions,
  at: Timestamp.Timestamp
): Creation | undefined => {
  const there = invoices.get(invoice.id)
  if (there !== undefined) {
    return Invoice.canonical(there.stored.invoice) === Invoice.canonical(invoice)
      ? { outcome: "Unchanged", stored: there.stored }
      : undefined
  }
  const stored: StoredInvoice = { invoice, status: "Pending", version: 1, violations: [], storedAt: at }
  invoices.set(invoice.id, {
    stored,
    history: [{ version: 1, from: Option.none(), to: "Pending", at, by, violations: [] }]
  })
  record(InvoiceEvent.created(invoice.id), at, traceparent)
  return { outcome: "Created", stored }
}
