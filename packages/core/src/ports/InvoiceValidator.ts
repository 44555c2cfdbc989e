/** The port to whatever judges invoices: a profile of rules, or the reference's coin (`SimulatedValidator`). */
import { Context, type Effect } from "effect"
import type { Invoice } from "../Invoice.ts"
import type { Verdict } from "../Verdict.ts"

export class InvoiceValidator extends Context.Service<
  InvoiceValidator,
  {
    /** Total: every invoice that the types hold gets a verdict. */
    readonly judge: (invoice: Invoice) => Effect.Effect<Verdict>
  }
>()("@invoice/core/ports/InvoiceValidator") {}
