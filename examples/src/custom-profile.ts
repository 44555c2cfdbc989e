/** A profile of your own: the core rules, and one of yours. */
import { Invoice, Json, Profile, type Rule } from "@invoice/core"
import { Result } from "effect"

/** Our customers' accounting refuses invoices that don't say the purchase order. */
const purchaseOrder: Rule.Rule = {
  code: "ACME-PO",
  severity: "error",
  title: "The notes name the purchase order",
  check: (invoice) =>
    /\bPO-\d+\b/u.test(invoice.notes)
      ? []
      : [{ path: "/notes", message: "no purchase order", expected: "PO- and a number" }]
}

export const acme: Profile.Profile = { name: "acme", version: "1", rules: [...Profile.core.rules, purchaseOrder] }

// numbers in the text are kept exactly; `Profile.layer(acme)` gives the validator program this profile
const document = Result.getOrThrow(
  Json.parse(`{"id": "53150a25-02f1-540a-99e7-48e267fd6d13", "customer_id": "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
    "amount": 50.00, "currency": "EUR", "notes": "thank you",
    "items": [{"description": "Hosting", "quantity": 1, "unit_price": 50.00, "total": 50.00}]}`)
)
const verdict = Profile.judge(acme, Result.getOrThrow(Invoice.parse(document)))
process.stdout.write(`${JSON.stringify(verdict)}\n`)
