/** The two routes of the reference service, as its clients know them. */
import { InvalidInvoice, InvoiceParser, Invoices, Traceparent } from "@invoice/core"
import { parseId } from "@invoice/core/Invoices"
import type { StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import * as UnknownField from "@invoice/core/UnknownField"
import { Effect, Predicate } from "effect"
import { HttpServerResponse } from "effect/http"
import * as Body from "./Body.ts"
import * as InvoiceJson from "./InvoiceJson.ts"
import * as Problem from "./Problem.ts"
import type { Routes } from "./Router.ts"

const storedJson = ({ invoice, status, violations }: StoredInvoice): string =>
  `{"invoice":${InvoiceJson.reference(invoice)},"status":"${status}"${
    violations.length === 0 ? "" : `,"violations":${JSON.stringify(violations)}`
  }}`

const json = (text: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(text, { contentType: "application/json" })

const field = (document: unknown, name: string): unknown =>
  Predicate.hasProperty(document, name) ? document[name] : undefined

/**
 * Refuses a request that has other fields than `name`. Then `check` adds the faults of that field, so that the client
 * gets all faults at once; it does not run otherwise.
 */
const onlyField = (
  document: unknown,
  name: string,
  check: () => Effect.Effect<unknown, InvalidInvoice>
): Effect.Effect<void, InvalidInvoice> => {
  const unknown = Predicate.isObject(document) ? UnknownField.find(document, new Set([name]), "") : []
  return unknown.length === 0
    ? Effect.void
    : Effect.flatMap(
        Effect.match(check(), { onFailure: ({ violations }) => violations, onSuccess: () => [] }),
        (violations) => Effect.fail(new InvalidInvoice({ kind: "syntax", violations: [...violations, ...unknown] }))
      )
}

export const routes: Effect.Effect<Routes, never, Invoices> = Effect.map(Invoices, (invoices) => {
  const create = (document: unknown) => {
    const invoice = field(document, "invoice")
    const options = { pointer: "/invoice" }
    return Effect.andThen(
      onlyField(document, "invoice", () => Effect.fromResult(InvoiceParser.parse(invoice, options))),
      invoices.create(invoice, options)
    )
  }
  const get = (document: unknown) => {
    const id = field(document, "id")
    return Effect.andThen(
      onlyField(document, "id", () => parseId(id, "/id")),
      invoices.get(id)
    )
  }
  return {
    "/api/invoice/create": {
      POST: (request) =>
        Effect.flatMap(Body.json(request), (document) =>
          Traceparent.within(request.headers["traceparent"], create(document)).pipe(
            Effect.map(({ stored }) => json(`{"invoice":${InvoiceJson.reference(stored.invoice)}}`)),
            Effect.catch(Problem.fail)
          )
        )
    },
    "/api/invoice/get": {
      POST: (request) =>
        Effect.flatMap(Body.json(request), (document) =>
          get(document).pipe(
            Effect.map((stored) => json(storedJson(stored))),
            Effect.catch(Problem.fail)
          )
        )
    }
  }
})
