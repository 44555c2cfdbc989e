/**
 * The invoice, and the door it comes in by: `parse` turns an unknown document into an invoice that the types can hold,
 * or lists every fault of it. Whether the invoice is any good is judged later, by a profile.
 *
 * The parser is plain code, not a schema: faults across fields (10.555 USD) must be listed beside the others, each with
 * its JSON pointer, and it stands on the path of every create.
 */
import { type Brand, Result } from "effect"
import * as Currency from "./Currency.ts"
import * as Decimal from "./Decimal.ts"
import { InvalidInvoice } from "./InvoiceError.ts"
import { JsonNumber } from "./Json.ts"
import * as Money from "./Money.ts"
import * as Timestamp from "./Timestamp.ts"
import * as UnknownField from "./UnknownField.ts"
import type { Violation } from "./Violation.ts"

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

/** What an invoice may hold; more is refused at the door. */
export const limits = {
  lines: 1_000,
  /** UTF-8 bytes. */
  notesBytes: 4_096,
  /** UTF-16 code units. */
  descriptionLength: 1_000,
  /** Faults that are listed; a document with more gets the first of them. */
  faults: 100
} as const

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu

const parseUuid = (text: string): string | undefined =>
  text.length === 36 && uuidPattern.test(text) ? text.toLowerCase() : undefined

/** The canonical id that a text says in either case, undefined when it is no UUID. */
export const parseId = (text: string): InvoiceId | undefined => parseUuid(text) as InvoiceId | undefined

const invoiceFields: ReadonlySet<string> = new Set([
  "id",
  "customer_id",
  "amount",
  "currency",
  "due_date",
  "created_at",
  "updated_at",
  "items",
  "notes"
])

const lineFields: ReadonlySet<string> = new Set(["description", "quantity", "unit_price", "total"])

/** Codes of faults of the shape; every other is one of a value. */
const syntaxCodes: ReadonlySet<string> = new Set(["INV-MISSING", "INV-TYPE", "INV-FIELD"])

/** Reads one document and gathers its faults. */
class Reader {
  readonly violations: Array<Violation> = []
  syntax = false

  fault(code: `INV-${string}`, path: string, message: string, expected?: string, actual?: unknown): undefined {
    return this.add({
      code,
      severity: "error",
      path,
      message,
      ...(expected === undefined ? {} : { expected }),
      ...(actual === undefined ? {} : { actual: show(actual) })
    })
  }

  add(violation: Violation): undefined {
    this.syntax ||= syntaxCodes.has(violation.code)
    if (this.violations.length < limits.faults) {
      this.violations.push(violation)
    }
  }

  unknown(record: Readonly<Record<string, unknown>>, known: ReadonlySet<string>, path: string): void {
    for (const violation of UnknownField.find(record, known, path)) this.add(violation)
  }

  /** The field's value, undefined (and a fault) when it isn't there. */
  required(record: Readonly<Record<string, unknown>>, field: string, path: string): unknown {
    const value = record[field]
    return value === undefined || value === null ? this.fault("INV-MISSING", path, `${field} is missing`) : value
  }

  text(value: unknown, path: string): string | undefined {
    if (value === undefined) {
      return undefined
    }
    if (typeof value !== "string") {
      return this.fault("INV-TYPE", path, "must be a string", "string", value)
    }
    // Postgres can't hold a NUL, and a lone surrogate has no UTF-8
    return value.includes("\0") || !value.isWellFormed()
      ? this.fault("INV-TEXT", path, "holds a NUL character or half a surrogate pair")
      : value
  }

  uuid(value: unknown, path: string): string | undefined {
    const text = this.text(value, path)
    return text === undefined
      ? undefined
      : (parseUuid(text) ?? this.fault("INV-UUID", path, "is not a UUID", "8-4-4-4-12 hexadecimal digits", text))
  }

  decimal(value: unknown, path: string): Decimal.Decimal | undefined {
    if (value === undefined) {
      return undefined
    }
    const text = value instanceof JsonNumber ? value.text : typeof value === "number" ? String(value) : value
    if (typeof text !== "string") {
      return this.fault("INV-TYPE", path, "must be a decimal string or a number", "decimal", value)
    }
    // an integer that a double may have altered before it came here is refused, not guessed at
    if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      return this.fault("INV-DECIMAL", path, "is too large for a number: send it as a string", "decimal", value)
    }
    const decimal = Decimal.parse(text)
    if (decimal !== undefined) {
      return decimal
    }
    // a text of a million characters must not cost more than a look at its beginning
    return /^-?\d+(\.\d*)?$/u.test(text.length > 4_096 ? text.slice(0, 4_096) : text) && !text.endsWith(".")
      ? this.fault("INV-DIGITS", path, "has too many digits or leading zeros", digitsExpected, text)
      : this.fault("INV-DECIMAL", path, "is not a decimal (no exponent, no plus sign, no NaN)", digitsExpected, text)
  }

  money(
    currency: Currency.CurrencyCode | undefined,
    decimal: Decimal.Decimal | undefined,
    path: string
  ): Money.Money | undefined {
    if (currency === undefined || decimal === undefined) {
      return undefined
    }
    return (
      Money.fromDecimal(currency, decimal) ??
      this.fault(
        "INV-SCALE",
        path,
        `has more decimals than ${currency}`,
        `at most ${Currency.minorUnits(currency)} decimals`,
        Decimal.format(decimal)
      )
    )
  }

  timestamp(value: unknown, path: string): Timestamp.Timestamp | undefined {
    const text = value === null ? undefined : this.text(value, path)
    return text === undefined
      ? undefined
      : (Timestamp.parse(text) ??
          this.fault("INV-DATE", path, "is not a time that exists", "RFC 3339, such as 2025-06-30T00:00:00Z", text))
  }

  currency(value: unknown, path: string): Currency.CurrencyCode | undefined {
    const text = this.text(value, path)
    return text === undefined
      ? undefined
      : (Currency.get(text)?.code ??
          this.fault("INV-CURRENCY", path, "is not a currency", "ISO 4217 alphabetic code, such as USD", text))
  }

  notes(value: unknown, path: string): string {
    const text = value === null ? undefined : this.text(value, path)
    if (text !== undefined && utf8Length(text) > limits.notesBytes) {
      this.fault("INV-NOTES-MAX", path, "is too long", `at most ${limits.notesBytes} bytes`)
    }
    return text ?? ""
  }

  description(value: unknown, path: string): string | undefined {
    const text = this.text(value, path)
    return text !== undefined && text.length > limits.descriptionLength
      ? this.fault("INV-TEXT", path, "is too long", `at most ${limits.descriptionLength} characters`)
      : text
  }

  line(value: unknown, path: string, currency: Currency.CurrencyCode | undefined): InvoiceLine | undefined {
    if (!isRecord(value)) {
      return this.fault("INV-TYPE", path, "must be an object", "object", value)
    }
    const description = this.description(
      this.required(value, "description", `${path}/description`),
      `${path}/description`
    )
    const quantity = this.decimal(this.required(value, "quantity", `${path}/quantity`), `${path}/quantity`)
    const unitPrice = this.decimal(this.required(value, "unit_price", `${path}/unit_price`), `${path}/unit_price`)
    const total = this.decimal(this.required(value, "total", `${path}/total`), `${path}/total`)
    const money = this.money(currency, total, `${path}/total`)
    this.unknown(value, lineFields, path)
    return description === undefined || quantity === undefined || unitPrice === undefined || money === undefined
      ? undefined
      : { description, quantity, unitPrice, total: money }
  }

  lines(
    value: unknown,
    path: string,
    currency: Currency.CurrencyCode | undefined
  ): ReadonlyArray<InvoiceLine | undefined> | undefined {
    if (value === undefined) {
      return undefined
    }
    if (!Array.isArray(value)) {
      return this.fault("INV-TYPE", path, "must be an array", "array", value)
    }
    // asked for once: a proxy may say something else the next time
    const { length } = value
    return length > limits.lines
      ? this.fault("INV-LINES-MAX", path, "has too many lines", `at most ${limits.lines}`, String(length))
      : // by index: `map` passes over the holes of a sparse array, and an iterator may be endless
        Array.from({ length }, (_, index) => this.line(value[index], `${path}/${index}`, currency))
  }
}

const digitsExpected = `up to ${Decimal.maxIntegerDigits} digits, then up to ${Decimal.maxScale} decimals`

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)

const show = (value: unknown): string => {
  const text =
    typeof value === "string"
      ? value
      : value instanceof JsonNumber
        ? value.text
        : Array.isArray(value)
          ? "array"
          : typeof value === "object" || typeof value === "function"
            ? typeof value
            : String(value)
  return (text.length > 64 ? `${text.slice(0, 63)}…` : text).toWellFormed()
}

const utf8Length = (text: string): number => {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return bytes
}

/** Why a document can't be held as an invoice: what `InvalidInvoice` holds, as plain data. */
export interface Faults {
  readonly kind: "syntax" | "meaning"
  readonly violations: ReadonlyArray<Violation>
}

/**
 * The invoice that a document says, or every fault of it, in the order of the contract's fields.
 *
 * The document is what `Json.parse` made (numbers kept as text), or any plain object; a JS number is taken by its
 * shortest text. `pointer` stands before every path, for a document within a document.
 */
export const parse = (
  document: unknown,
  options: { readonly pointer?: string } = {}
): Result.Result<Invoice, InvalidInvoice> =>
  Result.mapError(read(document, options), (faults) => new InvalidInvoice(faults))

/** The same with its faults as plain data: what needs no error class needs no Schema either. */
export const read = (
  document: unknown,
  options: { readonly pointer?: string } = {}
): Result.Result<Invoice, Faults> => {
  const at = options.pointer ?? ""
  const reader = new Reader()
  const invoice = isRecord(document)
    ? readFields(reader, document, at)
    : reader.fault("INV-TYPE", at, "must be an object", "object", document ?? "nothing")
  return invoice !== undefined && reader.violations.length === 0
    ? Result.succeed(invoice)
    : Result.fail({ kind: reader.syntax ? "syntax" : "meaning", violations: reader.violations })
}

const readFields = (reader: Reader, record: Readonly<Record<string, unknown>>, at: string): Invoice | undefined => {
  const id = reader.uuid(reader.required(record, "id", `${at}/id`), `${at}/id`)
  const customerId = reader.uuid(reader.required(record, "customer_id", `${at}/customer_id`), `${at}/customer_id`)
  const decimal = reader.decimal(reader.required(record, "amount", `${at}/amount`), `${at}/amount`)
  const currency = reader.currency(reader.required(record, "currency", `${at}/currency`), `${at}/currency`)
  const amount = reader.money(currency, decimal, `${at}/amount`)
  const dueDate = reader.timestamp(record["due_date"], `${at}/due_date`)
  const createdAt = reader.timestamp(record["created_at"], `${at}/created_at`)
  const updatedAt = reader.timestamp(record["updated_at"], `${at}/updated_at`)
  const lines = reader.lines(reader.required(record, "items", `${at}/items`), `${at}/items`, currency)
  const notes = reader.notes(record["notes"], `${at}/notes`)
  reader.unknown(record, invoiceFields, at)
  return id === undefined || customerId === undefined || amount === undefined || lines?.every(isDefined) !== true
    ? undefined
    : {
        id: id as InvoiceId,
        customerId: customerId as CustomerId,
        amount,
        dueDate,
        createdAt,
        updatedAt,
        lines: lines as ReadonlyArray<InvoiceLine>,
        notes
      }
}

const isDefined = (value: unknown): boolean => value !== undefined

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
