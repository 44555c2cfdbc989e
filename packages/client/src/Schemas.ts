/**
 * The schemas of REST v1, from which the OpenAPI document and the Effect client are made. The server reads bodies with the
 * core's parser and writes them as text; tests compare both with these schemas.
 */
import { Schema } from "effect"
import type * as Model from "./Model.ts"
import * as Problems from "./Problems.ts"

/** The example that the documentation uses throughout. */
export const example: Model.Invoice = {
  id: "53150a25-02f1-540a-99e7-48e267fd6d13",
  customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
  amount: "1050",
  currency: "USD",
  due_date: "2025-06-30T00:00:00Z",
  created_at: "2025-06-01T15:04:05Z",
  updated_at: "2025-06-10T10:22:30Z",
  items: [
    { description: "Website Design", quantity: "1", unit_price: "1000", total: "1000" },
    { description: "Hosting (1 month)", quantity: "1", unit_price: "50", total: "50" }
  ],
  notes: "Payment due within 30 days.",
  status: "Approved",
  version: 2,
  stored_at: "2025-06-01T15:04:06.123Z",
  violations: []
}

const exampleViolation: Model.Violation = {
  code: "BR-CO-10",
  severity: "error",
  path: "/amount",
  message: "the amount is not the sum of the line totals",
  expected: "1050",
  actual: "1050.01"
}

/** Without an exponent, a plus sign or leading zeros. */
export const Decimal: Schema.Codec<string> = Schema.String.check(
  Schema.isPattern(/^-?(0|[1-9]\d{0,16})(\.\d{1,9})?$/u)
).annotate({
  identifier: "Decimal",
  description: "An exact decimal: up to 17 digits before the point and 9 after it.",
  examples: ["1050.01"]
})

export const Uuid: Schema.Codec<string> = Schema.String.check(
  Schema.isPattern(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/u)
).annotate({ format: "uuid", description: "A UUID (RFC 9562).", examples: [example.id] })

const timestampPattern =
  /^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$/u

export const Timestamp: Schema.Codec<string> = Schema.String.check(Schema.isPattern(timestampPattern)).annotate({
  format: "date-time",
  description: "A time (RFC 3339), of the years 0001 to 9999, with up to nine decimals of a second.",
  examples: [example.stored_at]
})

export const Currency: Schema.Codec<string> = Schema.String.check(Schema.isPattern(/^[A-Z]{3}$/u)).annotate({
  description: "ISO 4217 alphabetic code.",
  examples: ["USD"]
})

export const Status: Schema.Codec<Model.InvoiceStatus> = Schema.Literals(["Pending", "Approved", "Rejected"])

const Version = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)).annotate({
  description: "Counts the changes of the invoice from 1."
})

export const Violation: Schema.Codec<Model.Violation> = Schema.Struct({
  code: Schema.String,
  severity: Schema.Literals(["error", "warning"]),
  path: Schema.String.annotate({ description: "JSON pointer (RFC 6901) into the document as it was sent." }),
  message: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  actual: Schema.optionalKey(Schema.String)
}).annotate({
  identifier: "Violation",
  description: "One reason why an invoice is refused or rejected.",
  examples: [exampleViolation]
})

const Violations = Schema.Array(Violation)

const DecimalInput: Schema.Codec<Model.DecimalInput> = Schema.Union([Decimal, Schema.Finite])

const InvoiceLineInput: Schema.Codec<Model.InvoiceLineInput> = Schema.Struct({
  description: Schema.String.check(Schema.isMaxLength(1_000)),
  quantity: DecimalInput,
  unit_price: DecimalInput,
  total: DecimalInput
}).annotate({ identifier: "InvoiceLineInput" })

const given = Schema.optionalKey(Schema.NullOr(Timestamp))

const { status: _status, stored_at: _storedAt, version: _version, violations: _violations, ...exampleInput } = example

const inputFields = {
  customer_id: Uuid,
  amount: DecimalInput,
  currency: Currency,
  due_date: given,
  created_at: given,
  updated_at: given,
  items: Schema.Array(InvoiceLineInput).check(Schema.isMaxLength(1_000)),
  notes: Schema.optionalKey(Schema.NullOr(Schema.String.check(Schema.isMaxLength(4_096))))
}

export const InvoiceInput: Schema.Codec<Model.InvoiceInput> = Schema.Struct({
  id: Schema.optionalKey(Schema.NullOr(Uuid)),
  ...inputFields
}).annotate({
  identifier: "InvoiceInput",
  description:
    "An invoice as it is handed in; without an id it gets a UUIDv7. Decimals are strings or numbers; the digits of a number are read as they are sent.",
  examples: [exampleInput]
})

export const ImportedInvoiceInput: Schema.Codec<Model.ImportedInvoiceInput> = Schema.Struct({
  id: Uuid,
  ...inputFields
}).annotate({
  identifier: "ImportedInvoiceInput",
  description: "An invoice of an import: with its id, a line that is sent again is not stored twice.",
  examples: [exampleInput]
})

export const Invoice: Schema.Codec<Model.Invoice> = Schema.Struct({
  id: Uuid,
  customer_id: Uuid,
  amount: Decimal,
  currency: Currency,
  due_date: Schema.optionalKey(Timestamp),
  created_at: Schema.optionalKey(Timestamp),
  updated_at: Schema.optionalKey(Timestamp),
  items: Schema.Array(
    Schema.Struct({ description: Schema.String, quantity: Decimal, unit_price: Decimal, total: Decimal }).annotate({
      identifier: "InvoiceLine"
    })
  ),
  notes: Schema.String,
  status: Status,
  version: Version,
  stored_at: Timestamp,
  violations: Violations
}).annotate({ identifier: "Invoice", description: "An invoice as the platform keeps it.", examples: [example] })

export const InvoicePage: Schema.Codec<Model.InvoicePage> = Schema.Struct({
  invoices: Schema.Array(Invoice).annotate({ description: "Newest first." }),
  next_cursor: Schema.optionalKey(Schema.String.annotate({ description: "Absent on the last page." }))
}).annotate({ identifier: "InvoicePage", description: "A page of invoices.", examples: [{ invoices: [example] }] })

const HistoryEntry: Schema.Codec<Model.HistoryEntry> = Schema.Struct({
  version: Version,
  from: Schema.optionalKey(Status),
  to: Status,
  at: Timestamp,
  by: Schema.String,
  violations: Violations
}).annotate({ identifier: "HistoryEntry" })

export const History: Schema.Codec<Model.History> = Schema.Struct({ history: Schema.Array(HistoryEntry) }).annotate({
  identifier: "History",
  description: "The changes of an invoice, oldest first.",
  examples: [
    {
      history: [
        { version: 1, to: "Pending", at: example.stored_at, by: "api", violations: [] },
        { version: 2, from: "Pending", to: "Approved", at: "2025-06-01T15:04:06.456Z", by: "core@1", violations: [] }
      ]
    }
  ]
})

export const Verdict: Schema.Codec<Model.Verdict> = Schema.Struct({
  status: Schema.Literals(["Approved", "Rejected"]),
  violations: Violations,
  by: Schema.String
}).annotate({
  identifier: "Verdict",
  description: "What validation says.",
  examples: [{ status: "Rejected", violations: [exampleViolation], by: "core@1" }]
})

export const Change: Schema.Codec<Model.Change> = Schema.Struct({
  id: Uuid,
  status: Status,
  version: Version,
  violations: Violations,
  at: Timestamp
}).annotate({
  identifier: "Change",
  description: "A change of some invoice.",
  examples: [{ id: example.id, status: "Approved", version: 2, violations: [], at: example.stored_at }]
})

/** A problem of any kind. */
export const Problem: Schema.Codec<Model.Problem> = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.String,
  instance: Schema.optionalKey(Schema.String),
  violations: Schema.optionalKey(Violations)
}).annotate({ identifier: "Problem", description: "What went wrong (RFC 9457)." })

export const ImportResult: Schema.Codec<Model.ImportResult> = Schema.Struct({
  line: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  outcome: Schema.Literals(["Created", "Unchanged", "Failed"]),
  id: Schema.optionalKey(Uuid),
  problem: Schema.optionalKey(Problem)
}).annotate({
  identifier: "ImportResult",
  description: "What became of one line of an import.",
  examples: [{ line: 1, outcome: "Created", id: example.id }]
})

/** The schema of one kind of problem. */
export const problem = <K extends Problems.Kind>(
  kind: K
): Schema.Codec<Model.Problem & { readonly type: Problems.Type<K> }> => {
  const { about, status, title } = Problems.kinds[kind]
  const fields = {
    type: Schema.Literal(Problems.typeOf(kind)),
    title: Schema.String,
    status: Schema.Literal(status),
    detail: Schema.String,
    instance: Schema.optionalKey(Schema.String),
    violations: Schema.optionalKey(Violations)
  }
  return Schema.Struct(fields).annotate({
    identifier: `${title.replaceAll(" ", "")}Problem`,
    description: about,
    examples: [
      {
        type: Problems.typeOf(kind),
        title,
        status,
        detail: title,
        ...(kind.endsWith("-invoice") ? { violations: [exampleViolation] } : {})
      }
    ]
  })
}
