/** An invoice that the types can hold. `InvoiceParser` makes it from a document, and a profile judges it. */
import type { Brand } from "effect"
import * as Decimal from "./Decimal.ts"
import * as Money from "./Money.ts"
import type * as Timestamp from "./Timestamp.ts"

/** A UUID (RFC 9562) in lower case. */
export type InvoiceId = string & Brand.Brand<"InvoiceId">
/** A UUID (RFC 9562) in lower case. */
export type CustomerId = string & Brand.Brand<"CustomerId">

export interface InvoiceLine {
  readonly description: string
  /** Up to 9 decimals; may be negative (a return). */
  readonly quantity: Decimal.Decimal
  /** Up to 9 decimals, in the invoice's currency. */
  readonly unitPrice: Decimal.Decimal
  readonly total: Money.Money
}

export interface Invoice {
  readonly id: InvoiceId
  readonly customerId: CustomerId
  /** What is to be paid; its currency is the invoice's. */
  readonly amount: Money.Money
  /** The client's dates, as given. */
  readonly dueDate: Timestamp.Timestamp | undefined
  readonly createdAt: Timestamp.Timestamp | undefined
  readonly updatedAt: Timestamp.Timestamp | undefined
  /** In the order given. */
  readonly lines: ReadonlyArray<InvoiceLine>
  readonly notes: string
}

/** What an invoice may hold; the parser refuses more. */
export const limits = {
  lines: 1_000,
  /** UTF-8 bytes. */
  notesBytes: 4_096,
  /** UTF-16 code units. */
  descriptionLength: 1_000,
  /** The maximum number of faults listed; a document with more gets the first ones. */
  faults: 100
} as const

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu

/** The canonical (lower-case) form of a UUID; undefined when the text isn't one. */
export const parseUuid = (text: string): string | undefined =>
  text.length === 36 && uuidPattern.test(text) ? text.toLowerCase() : undefined

/** The canonical (lower-case) id in a text; undefined when the text isn't a UUID. */
export const parseId = (text: string): InvoiceId | undefined => parseUuid(text) as InvoiceId | undefined

// every runtime has it; the core is compiled with the types of ECMAScript alone
declare const crypto: { readonly randomUUID: () => string }

/**
 * A new id: a UUIDv7 (RFC 9562, 5.7), so that ids of about the same time are neighbours in an index.
 *
 * @param millis the time, in milliseconds of the Unix epoch
 */
export const generateId = (millis: number): InvoiceId => {
  const time = Math.floor(millis).toString(16).padStart(12, "0")
  // version 4 has the variant and the random bits where version 7 has them
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}` as InvoiceId
}

/** An invoice as JSON holds it: decimals as canonical strings, absent dates left out. */
export interface EncodedInvoice {
  readonly id: string
  readonly customer_id: string
  readonly amount: string
  readonly currency: string
  readonly due_date?: string
  readonly created_at?: string
  readonly updated_at?: string
  readonly items: ReadonlyArray<{
    readonly description: string
    readonly quantity: string
    readonly unit_price: string
    readonly total: string
  }>
  readonly notes: string
}

export const encode = (invoice: Invoice): EncodedInvoice => ({
  id: invoice.id,
  customer_id: invoice.customerId,
  amount: Money.format(invoice.amount),
  currency: invoice.amount.currency,
  ...(invoice.dueDate === undefined ? {} : { due_date: invoice.dueDate }),
  ...(invoice.createdAt === undefined ? {} : { created_at: invoice.createdAt }),
  ...(invoice.updatedAt === undefined ? {} : { updated_at: invoice.updatedAt }),
  items: invoice.lines.map((line) => ({
    description: line.description,
    quantity: Decimal.format(line.quantity),
    unit_price: Decimal.format(line.unitPrice),
    total: Money.format(line.total)
  })),
  notes: invoice.notes
})

/** Canonical JSON: two invoices have the same content exactly when these texts are equal. */
export const canonical = (invoice: Invoice): string => JSON.stringify(encode(invoice))

/** The line total that quantity and unit price give, rounded half up to the currency. */
export const lineTotal = (line: InvoiceLine): Money.Money =>
  Money.rounded(line.total.currency, Decimal.multiply(line.quantity, line.unitPrice))
