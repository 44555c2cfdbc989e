/** A client over gRPC: imports a file's worth of invoices. Run it with the URL of a gRPC port. */
import { InvoiceClient } from "@invoice/adapters/connect"
import { grpcTransport } from "@invoice/adapters/connect/node"
import { Effect, Result, Stream } from "effect"

const documents = Stream.fromIterable([
  {
    id: "0198d3f0-5a3c-7cc1-8f4e-4d0d6a6f7a01",
    customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
    amount: "9007199254740993.01",
    currency: "USD",
    items: [
      { description: "An exact amount", quantity: "1", unit_price: "9007199254740993.01", total: "9007199254740993.01" }
    ]
  },
  { id: "0198d3f0-5a3c-7cc1-8f4e-4d0d6a6f7a02", currency: "US$", items: [] }
])

const program = Effect.gen(function* () {
  const invoices = InvoiceClient.make(yield* grpcTransport({ baseUrl: process.argv[2] ?? "http://localhost:5000" }))
  yield* Stream.runForEach(invoices.importAll(documents), ({ line, result }) =>
    Effect.sync(() => {
      const outcome = Result.match(result, {
        onSuccess: ({ id, outcome }) => `${outcome} ${id}`,
        onFailure: ({ message }) => message
      })
      process.stdout.write(`${line}: ${outcome}\n`)
    })
  )
})

await Effect.runPromise(Effect.scoped(program))
