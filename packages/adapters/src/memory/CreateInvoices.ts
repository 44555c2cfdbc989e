/** Creating an invoice, with its history and its event. */
import { Invoice, InvoiceConflict, InvoiceEvent } from "@invoice/core"
import type { Creation, InvoiceStore, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import { now, type State } from "./State.ts"

export const make =
  ({ invoices, record }: State["Service"]): InvoiceStore["Service"]["create"] =>
  (invoice, options) =>
    Effect.flatMap(now, (at): Effect.Effect<Creation, InvoiceConflict> => {
      const there = invoices.get(invoice.id)
      if (there !== undefined) {
        return Invoice.canonical(there.stored.invoice) === Invoice.canonical(invoice)
          ? Effect.succeed({ outcome: "Unchanged", stored: there.stored })
          : Effect.fail(new InvoiceConflict({ id: invoice.id }))
      }
      const stored: StoredInvoice = { invoice, status: "Pending", version: 1, violations: [], storedAt: at }
      invoices.set(invoice.id, {
        stored,
        history: [{ version: 1, from: Option.none(), to: "Pending", at, by: "api", violations: [] }]
      })
      record(InvoiceEvent.created(invoice.id), at, options?.traceparent)
      return Effect.succeed({ outcome: "Created", stored })
    })
