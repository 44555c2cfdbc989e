/** Judges an invoice by a profile of your own, in this process. */
import { InvoiceParser, Json, Profile } from "@invoice/core"
import { Result } from "effect"
import { acme } from "./acme.ts"

// numbers in the text are kept exactly
const document = Result.getOrThrow(
  Json.parse(`{"id": "53150a25-02f1-540a-99e7-48e267fd6d13", "customer_id": "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
    "amount": 50.00, "currency": "EUR", "notes": "thank you",
    "items": [{"description": "Hosting", "quantity": 1, "unit_price": 50.00, "total": 50.00}]}`)
)
const verdict = Profile.judge(acme, Result.getOrThrow(InvoiceParser.parse(document)))
process.stdout.write(`${JSON.stringify(verdict)}\n`)
