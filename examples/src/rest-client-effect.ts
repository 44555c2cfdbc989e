/** REST v1 with Effect: imports invoices as a stream and tells what became of each. Run it with the URL of an api. */
import type { ImportedInvoiceInput } from "@invoice/client"
import * as RestClient from "@invoice/client/RestClient"
import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"

export const outcomes = (baseUrl: string, invoices: Iterable<ImportedInvoiceInput>) =>
  Effect.gen(function* () {
    const client = yield* RestClient.make({ baseUrl })
    const results = Stream.unwrap(client.importInvoices({ params: {}, payload: Stream.fromIterable(invoices) }))
    return yield* Stream.runCollect(
      Stream.map(
        results,
        ({ line, outcome, problem }) => `${line}: ${outcome}${problem === undefined ? "" : `, ${problem.detail}`}`
      )
    )
  }).pipe(Effect.provide(FetchHttpClient.layer))
