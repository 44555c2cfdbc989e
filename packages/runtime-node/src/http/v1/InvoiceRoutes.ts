/**
 * Create, get, list, history and validation. Bodies are read by `Body.ts` and the core's parser, and answers are written by
 * `InvoiceJson.ts`: HttpApi finds the route and decodes parameters, no more.
 */
import type { Admission } from "@invoice/adapters/connect"
import { InvoiceApi } from "@invoice/client/Api"
import { Invoices, Timestamp, Traceparent } from "@invoice/core"
import { withId } from "@invoice/core/Invoices"
import type { Creation, ListQuery, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect, type Layer, Option } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, type HttpApiGroup } from "effect/http-api"
import * as Body from "../Body.ts"
import * as InvoiceJson from "../InvoiceJson.ts"
import * as Problem from "../Problem.ts"
import * as Conditions from "./Conditions.ts"
import * as Import from "./Import.ts"

type Answer = Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem>

const json = (text: string, options?: HttpServerResponse.Options): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(text, { ...options, contentType: "application/json" })

/** A problem is an answer like any other: it is written as text, not encoded with its schema. */
export const orProblem = <R>(
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, Problem.Problem, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.catch(answer, (problem) => Effect.succeed(Problem.toResponse(problem)))

const pathOf = (id: string): string => `/v1/invoices/${id}`

const created = ({ outcome, stored }: Creation, prefer: string | undefined): HttpServerResponse.HttpServerResponse => {
  const status = outcome === "Unchanged" ? 200 : 201
  const headers = { location: pathOf(stored.invoice.id), etag: Conditions.etag(stored.version) }
  return Conditions.wantsMinimal(prefer)
    ? HttpServerResponse.empty({ status, headers: { ...headers, "preference-applied": "return=minimal" } })
    : json(InvoiceJson.stored(stored), { status, headers })
}

const create = (invoices: Invoices["Service"]) => {
  const creating = (document: unknown, idempotencyKey: string | undefined) =>
    invoices.create(document, { idempotencyKey, generateId: true })
  return (request: HttpServerRequest.HttpServerRequest): Answer =>
    Effect.flatMap(Body.json(request), (document) =>
      Traceparent.within(request.headers["traceparent"], creating(document, request.headers["idempotency-key"])).pipe(
        Effect.map((creation) => created(creation, request.headers["prefer"])),
        Effect.catch(Problem.fail)
      )
    )
}

/** A document that is only judged needs no id either. */
const identified = (document: unknown): Effect.Effect<unknown> =>
  Effect.map(withId(document, { generateId: true }), ({ document }) => document)

const read = (stored: StoredInvoice, conditions: Conditions.Conditions): Answer => {
  const headers = { etag: Conditions.etag(stored.version) }
  switch (Conditions.evaluate(conditions, stored.version)) {
    case 200:
      return Effect.succeed(json(InvoiceJson.stored(stored), { headers }))
    case 304:
      return Effect.succeed(HttpServerResponse.empty({ status: 304, headers }))
    case 412:
      return Effect.fail(Problem.of("stale-version", `the invoice has version ${stored.version}`, headers))
  }
}

const defaultLimit = 50

/** The parameters of a list, as HttpApi has decoded them. */
interface ListParameters {
  readonly status?: ListQuery["status"]
  readonly customer_id?: string
  readonly currency?: string
  readonly due_after?: string
  readonly due_before?: string
  readonly created_after?: string
  readonly created_before?: string
  readonly limit?: number
  readonly cursor?: string
}

/** A time that has the form of one and doesn't exist, such as 30 February, is a fault as well. */
const time = (
  parameters: ListParameters,
  name: "due_after" | "due_before" | "created_after" | "created_before"
): Effect.Effect<Timestamp.Timestamp | undefined, Problem.Problem> => {
  const text = parameters[name]
  const parsed = text === undefined ? undefined : Timestamp.parse(text)
  return text !== undefined && parsed === undefined
    ? Effect.fail(Problem.badRequest(`query: ${name} is not a time that exists`))
    : Effect.succeed(parsed)
}

const toQuery = (parameters: ListParameters): Effect.Effect<ListQuery, Problem.Problem> =>
  Effect.map(
    Effect.all({
      dueAfter: time(parameters, "due_after"),
      dueBefore: time(parameters, "due_before"),
      storedAfter: time(parameters, "created_after"),
      storedBefore: time(parameters, "created_before")
    }),
    (times) => ({
      ...times,
      status: parameters.status,
      customerId: parameters.customer_id?.toLowerCase(),
      currency: parameters.currency,
      limit: parameters.limit ?? defaultLimit,
      cursor: parameters.cursor
    })
  )

/** The same list behind a cursor (RFC 8288). */
const nextLink = (url: string, cursor: string): string => {
  const query = url.indexOf("?")
  const parameters = new URLSearchParams(query === -1 ? "" : url.slice(query + 1))
  parameters.set("cursor", cursor)
  return `</v1/invoices?${parameters}>; rel="next"`
}

const list =
  (invoices: Invoices["Service"]) =>
  (parameters: ListParameters, url: string): Answer =>
    Effect.flatMap(toQuery(parameters), (query) =>
      invoices.list(query).pipe(
        Effect.map(({ items, next }) => {
          const cursor = Option.getOrUndefined(next)
          const headers = cursor === undefined ? {} : { link: nextLink(url, cursor) }
          return json(InvoiceJson.page(items, cursor), { headers })
        }),
        Effect.catch(Problem.fail)
      )
    )

/**
 * The handlers of the group `invoices`.
 *
 * @param imports imports of all protocols
 */
export const layer = (
  imports: Admission.Admission
): Layer.Layer<HttpApiGroup.Service<"invoices-v1", "invoices">, never, Invoices> =>
  HttpApiBuilder.group(InvoiceApi, "invoices", (handlers) =>
    Effect.map(Invoices, (invoices) => {
      const creating = create(invoices)
      const listing = list(invoices)
      const importing = Import.make(invoices, imports)
      return handlers
        .handleRaw("createInvoice", ({ request }) => orProblem(creating(request)))
        .handleRaw("getInvoice", ({ headers, params }) =>
          orProblem(
            Effect.flatMap(Effect.catch(invoices.get(params.id), Problem.fail), (stored) => read(stored, headers))
          )
        )
        .handleRaw("listInvoices", ({ query, request }) => orProblem(listing(query, request.url)))
        .handleRaw("getHistory", ({ params }) =>
          orProblem(
            invoices.history(params.id).pipe(
              Effect.map((entries) => json(InvoiceJson.history(entries))),
              Effect.catch(Problem.fail)
            )
          )
        )
        .handleRaw("validateInvoice", ({ request }) =>
          orProblem(
            Effect.flatMap(Effect.flatMap(Body.json(request), identified), (document) =>
              invoices.validate(document).pipe(
                Effect.map((verdict) => json(InvoiceJson.verdict(verdict))),
                Effect.catch(Problem.fail)
              )
            )
          )
        )
        .handleRaw("importInvoices", ({ request }) => orProblem(importing(request)))
    })
  )
