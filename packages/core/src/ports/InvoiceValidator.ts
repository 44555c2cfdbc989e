/**
 * The port to the validator of invoices: a profile of rules, or the reference's random verdict (`SimulatedValidator`).
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
     * Total: every invoice that the types hold gets a verdict. The same invoice gets the same verdict, byte for byte,
     * however often it is judged, since messages come more than once. A verdict rejects when one of its violations is
     * an error, and approves otherwise.
     */
    readonly judge: (invoice: Invoice) => Effect.Effect<Verdict>
  }
>()("@invoice/core/ports/InvoiceValidator") {}
