/**
 * The port to whatever judges invoices: a profile of rules, or the reference's coin (`SimulatedValidator`).
 *
 * Adapters prove themselves with `InvoiceValidatorContract` of `@invoice/testing`.
 */
import { Context, type Effect } from "effect"
import type { Invoice } from "../domain/Invoice.ts"
import type { Verdict } from "../domain/Verdict.ts"

export class InvoiceValidator extends Context.Service<
  InvoiceValidator,
  {
    /**
     * Total: every invoice that the types hold gets a verdict. The same invoice gets the same one, byte for byte, however often
     * it is judged: messages come more than once. It rejects when one of its violations is an error, and approves otherwise.
     */
    readonly judge: (invoice: Invoice) => Effect.Effect<Verdict>
  }
>()("@invoice/core/ports/InvoiceValidator") {}
