/** Invoices for tests: a plain one, and arbitrary ones that the types hold. */
import { Invoice } from "@invoice/core"
import { Arbitrary, Result, Schema } from "effect"

/** The invoice of the wire contract's example, as a document, with a fresh id unless told. */
export const document = (overrides: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  id: crypto.randomUUID(),
  customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
  amount: "1050.00",
  currency: "USD",
  due_date: "2025-06-30T00:00:00Z",
  created_at: "2025-06-01T15:04:05Z",
  updated_at: "2025-06-10T10:22:30Z",
  items: [
    { description: "Website Design", quantity: 1, unit_price: "1000.0", total: "1000.0" },
    { description: "Hosting (1 month)", quantity: 1, unit_price: "50.0", total: "50.0" }
  ],
  notes: "Payment due within 30 days.",
  ...overrides
})

/** A plain valid invoice with a fresh id. Throws when the overrides make it one that can't be held. */
export const invoice = (overrides?: Readonly<Record<string, unknown>>): Invoice.Invoice =>
  Result.getOrThrow(Invoice.parse(document(overrides)))

const text = (maxLength: number) =>
  Arbitrary.map(Arbitrary.schema(Schema.String), (string) =>
    string.replaceAll("\0", "␀").slice(0, maxLength).toWellFormed()
  )

const uuid = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals([..."0123456789abcdef"])), { minLength: 32, maxLength: 32 }),
  (digits) => {
    const hex = digits.join("")
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }
)

const integer = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const digits = (length: number) =>
  Arbitrary.map(Arbitrary.array(Arbitrary.schema(Schema.Literals([..."0123456789"])), { maxLength: length }), (list) =>
    list.join("")
  )

/** Decimals as text: up to 17 digits before the point and `scale` after, either sign. */
export const decimalText = (scale: number) =>
  Arbitrary.map(
    Arbitrary.all([Arbitrary.schema(Schema.Boolean), digits(17), digits(scale)]),
    ([negative, whole, fraction]) =>
      `${negative ? "-" : ""}${whole.replace(/^0+(?=.)/u, "") || "0"}${fraction === "" ? "" : `.${fraction}`}`
  )

/** RFC 3339 texts in UTC with up to nine fraction digits. */
const timestampText = Arbitrary.map(
  Arbitrary.all([integer(-62_135_596_800, 253_402_300_799), digits(9)]),
  ([seconds, fraction]) =>
    `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`
)

const optional = <A>(arbitrary: Arbitrary.Arbitrary<A>) =>
  Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), arbitrary]), ([there, value]) =>
    there ? value : undefined
  )

const currencies: ReadonlyArray<readonly [code: string, minorUnits: number]> = [
  ["JPY", 0],
  ["USD", 2],
  ["EUR", 2],
  ["KWD", 3],
  ["CLF", 4],
  ["DEM", 2]
]

/** Any invoice that the types hold, hostile texts and extreme numbers included; most break some rule. */
export const anyInvoice: Arbitrary.Arbitrary<Invoice.Invoice> = Arbitrary.flatMap(
  integer(0, currencies.length - 1),
  (index) => {
    const [currency, scale] = currencies[index] ?? (["USD", 2] as const)
    return Arbitrary.map(
      Arbitrary.all({
        id: uuid,
        customer_id: uuid,
        amount: decimalText(scale),
        due_date: optional(timestampText),
        created_at: optional(timestampText),
        updated_at: optional(timestampText),
        items: Arbitrary.array(
          Arbitrary.all({
            description: text(1_000),
            quantity: decimalText(9),
            unit_price: decimalText(9),
            total: decimalText(scale)
          }),
          { maxLength: 5 }
        ),
        notes: text(1_000)
      }),
      (fields) => Result.getOrThrow(Invoice.parse({ ...fields, currency }))
    )
  }
)
