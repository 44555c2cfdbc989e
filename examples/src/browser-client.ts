/** A client over `fetch`, as in a browser: it uses nothing of Node.js. Creates an invoice and waits for its verdict. */
import { InvoiceClient } from "@invoice/adapters/connect"
import { Invoices } from "@invoice/core"
import { Effect, Option, Stream } from "effect"

/** Creates an invoice; returns each status that it reaches, with the codes of its violations, up to its verdict. */
export const follow = (baseUrl: string, invoice: { readonly id: string }) =>
  Effect.gen(function* () {
    const invoices = yield* Invoices
    yield* invoices.create(invoice)
    return yield* invoices.watch("beginning").pipe(
      Stream.flatMap(({ change }) => Stream.fromIterable(Option.toArray(change))),
      Stream.filter(({ id }) => id === invoice.id),
      Stream.takeUntil(({ status }) => status !== "Pending"),
      Stream.map(({ status, violations }) => [status, ...violations.map(({ code }) => code)].join(" ")),
      Stream.runCollect
    )
  }).pipe(Effect.provide(InvoiceClient.layerFetch({ baseUrl })))
