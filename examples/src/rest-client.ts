/** REST v1 with promises: creates an invoice, follows it to its verdict, and prints why. Run it with the URL of an api. */
import { createClient, type InvoiceInput } from "@invoice/client"

export const judge = async (baseUrl: string, input: InvoiceInput): Promise<string> => {
  const client = createClient({ baseUrl })
  const { invoice } = await client.create(input, { idempotencyKey: crypto.randomUUID() })
  for await (const { change } of client.events({ from: "beginning" })) {
    if (change.id === invoice.id && change.status !== "Pending") {
      return [change.status, ...change.violations.map(({ code, path }) => `${code} ${path}`)].join(" ")
    }
  }
  return "the events have ended"
}

if (import.meta.main) {
  const input: InvoiceInput = {
    customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
    amount: "1050.01",
    currency: "USD",
    items: [{ description: "Website Design", quantity: "1", unit_price: "1050.00", total: "1050.00" }]
  }
  process.stdout.write(`${await judge(process.argv[2] ?? "http://localhost:8080", input)}\n`)
}
