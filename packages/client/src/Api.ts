/** REST v1, as a definition: the server is built from it, and so are the Effect client and the OpenAPI document. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"
import * as Schemas from "./Schemas.ts"

const makeProblem = <K extends Problems.Kind>(kind: K) =>
  Schemas.problem(kind).pipe(
    HttpApiSchema.status(Problems.kinds[kind].status),
    HttpApiSchema.asJson({ contentType: "application/problem+json" })
  )

const problems = new Map<Problems.Kind, unknown>()

/** One schema for each kind: a second one would get a name of its own in the OpenAPI document. */
const problem = <K extends Problems.Kind>(kind: K): ReturnType<typeof makeProblem<K>> => {
  const made = problems.get(kind) ?? makeProblem(kind)
  problems.set(kind, made)
  return made as ReturnType<typeof makeProblem<K>>
}

/** What any request may be answered with. */
const always = [
  problem("bad-request"),
  problem("unauthorized"),
  problem("forbidden"),
  problem("request-timeout"),
  problem("too-many-requests"),
  problem("internal-error"),
  problem("unavailable")
] as const

/** What a request with a body may be answered with. */
const withBody = [...always, problem("content-too-large"), problem("unsupported-media-type")] as const

const withInvoice = [...withBody, problem("malformed-invoice"), problem("invalid-invoice")] as const

const etag = Schema.String.annotate({ description: "The invoice's version in quotes (RFC 9110, section 8.8.3)." })

const condition = (description: string) => Schema.optionalKey(Schema.String.annotate({ description }))

const byId = { id: Schemas.Uuid }

/** A path with a colon that begins no parameter. */
const noParameters = Schema.Struct({})

const cursor = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(1_024)).annotate({
  description: "Where to go on: `next_cursor` of the page before."
})

const from = (description: string) => Schema.optionalKey(Schemas.Timestamp.annotate({ description }))

/** The filters and the place of a list. */
export const listQuery = {
  status: Schema.optionalKey(Schemas.Status),
  customer_id: Schema.optionalKey(Schemas.Uuid),
  currency: Schema.optionalKey(Schemas.Currency),
  due_after: from("Due at this time or later."),
  due_before: from("Due earlier than this time."),
  created_after: from("Taken by the platform at this time or later (`stored_at`)."),
  created_before: from("Taken by the platform earlier than this time."),
  limit: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })).annotate({
      description: "Most invoices of a page, 50 unless given. A page may have fewer and still not be the last."
    })
  ),
  cursor: Schema.optionalKey(cursor)
}

const create = HttpApiEndpoint.post("createInvoice", "/v1/invoices", {
  headers: {
    "idempotency-key": condition(
      "A name for this request, 1 to 255 visible ASCII characters: retries with it are answered as the first request was, for 24 hours."
    ),
    prefer: condition("`return=minimal`: an answer without a body (RFC 7240, section 4.2).")
  },
  payload: Schemas.InvoiceInput,
  success: [
    HttpApiSchema.WithHeaders(Schemas.Invoice.pipe(HttpApiSchema.status(201)), {
      etag,
      location: Schema.String.annotate({ description: "The path of the invoice." })
    }),
    HttpApiSchema.WithHeaders(Schemas.Invoice.pipe(HttpApiSchema.status(200)), { etag, location: Schema.String })
  ],
  error: [...withInvoice, problem("invoice-conflict"), problem("idempotency-key-reused")]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Create an invoice",
    description:
      "Stores it as `Pending`, and publishes an event. Idempotent by id and content: 201 when the invoice is new, 200 when the same invoice was there already."
  })
)

const get = HttpApiEndpoint.get("getInvoice", "/v1/invoices/:id", {
  params: byId,
  headers: {
    "if-none-match": condition("ETags that the client has: 304 when one of them is current."),
    "if-match": condition("ETags that the client takes: 412 when none of them is current.")
  },
  success: [
    HttpApiSchema.WithHeaders(Schemas.Invoice, { etag }),
    HttpApiSchema.Empty(304).annotate({ description: "The client has the current version." })
  ],
  error: [...always, problem("invoice-not-found"), problem("stale-version")]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Get an invoice",
    description: "With its status, its version and the reasons of its verdict."
  })
)

const list = HttpApiEndpoint.get("listInvoices", "/v1/invoices", {
  query: listQuery,
  success: Schemas.InvoicePage,
  error: [...always, problem("invalid-cursor")]
}).annotateMerge(
  OpenApi.annotations({
    summary: "List invoices",
    description:
      'Newest first. New invoices don\'t shift the pages. The header `Link` with `rel="next"` is the path of the next page (RFC 8288).'
  })
)

const history = HttpApiEndpoint.get("getHistory", "/v1/invoices/:id/history", {
  params: byId,
  success: Schemas.History,
  error: [...always, problem("invoice-not-found")]
}).annotateMerge(
  OpenApi.annotations({ summary: "Get the history of an invoice", description: "Every change with its reasons." })
)

const validate = HttpApiEndpoint.post("validateInvoice", "/v1/invoices:validate", {
  params: noParameters,
  payload: Schemas.InvoiceInput,
  success: Schemas.Verdict,
  error: withInvoice
}).annotateMerge(
  OpenApi.annotations({
    summary: "Validate an invoice",
    description: "The verdict that it would get. Nothing is stored."
  })
)

const importAll = HttpApiEndpoint.post("importInvoices", "/v1/invoices:import", {
  params: noParameters,
  payload: HttpApiSchema.StreamNdjson({
    schema: Schemas.ImportedInvoiceInput,
    contentType: ["application/x-ndjson", "application/ndjson", "application/jsonl"]
  }),
  success: HttpApiSchema.StreamNdjson({ schema: Schemas.ImportResult }),
  error: [...always, problem("unsupported-media-type")]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Import invoices",
    description:
      "Takes any number of invoices, one a line of at most 1 MB, and answers a line for each, in their order, while it reads: read the answer while you send. A line at fault is answered with its problem, and the import goes on. Send the same lines again after a break: invoices that are stored are answered as `Unchanged`."
  })
)

const events = HttpApiEndpoint.get("streamEvents", "/v1/events", {
  query: {
    from: Schema.optionalKey(
      Schema.Literals(["now", "beginning"]).annotate({
        description: "Where to begin without a cursor: with changes from now on, or with the oldest that is kept."
      })
    ),
    after: Schema.optionalKey(cursor.annotate({ description: "Begins after the event with this id." }))
  },
  headers: { "last-event-id": condition("Begins after the event with this id; stands above the parameters.") },
  success: HttpApiSchema.StreamSse({
    events: Schema.Struct({
      id: Schema.optionalKey(Schema.String),
      event: Schema.String,
      data: Schema.fromJsonString(Schemas.Change)
    })
  }),
  error: [...always, problem("invalid-cursor"), problem("cursor-expired")]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Follow the changes",
    description:
      "Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): every change of every invoice, each once, those of one invoice in order. The id of an event is a cursor. A comment comes every 15 seconds without a change. The stream ends when the server stops: connect again with `Last-Event-ID`."
  })
)

export const InvoiceApi = HttpApi.make("invoices-v1")
  .add(
    HttpApiGroup.make("invoices", { topLevel: true }).add(create, get, list, history, validate, importAll),
    HttpApiGroup.make("events", { topLevel: true }).add(events)
  )
  .annotateMerge(
    OpenApi.annotations({
      title: "Invoices",
      version: "1",
      description: "Decimals are exact, and therefore strings. What goes wrong is answered with a problem (RFC 9457).",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" }
    })
  )
