/** An invoice, stored and judged in memory: no database, no broker. */
import { Memory } from "@invoice/adapters/memory"
import { Invoices, Profile, ProfileValidator } from "@invoice/core"
import { Effect, Layer } from "effect"

const invoice = {
  id: "53150a25-02f1-540a-99e7-48e267fd6d13",
  customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
  amount: "1050.01",
  currency: "USD",
  items: [{ description: "Website Design", quantity: "1", unit_price: "1050.00", total: "1050.00" }]
}
const program = Effect.flatMap(Invoices, ({ create, validate }) => Effect.andThen(create(invoice), validate(invoice)))
const layer = Layer.provide(Invoices.layer, [Memory.layer, ProfileValidator.layer(Profile.core)])

const { status, violations } = await Effect.runPromise(Effect.provide(program, layer))
process.stdout.write(`${status}: ${violations.map(({ code, message }) => `${code} ${message}`).join(", ")}\n`)
