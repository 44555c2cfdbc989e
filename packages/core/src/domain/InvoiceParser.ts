/**
 * Parses invoices: turns an unknown document into an invoice that the types can hold, or lists its faults.
 *
 * Plain code, not a schema: faults across fields (10.555 USD) must be listed beside the others, each with its JSON
 * pointer, and every create runs this code.
 */
import { Result } from "effect"
import type { CurrencyCode } from "./Currency.ts"
import { FieldReader, type Fields, isFields } from "./FieldReader.ts"
import { type CustomerId, type Invoice, type InvoiceId, type InvoiceLine, limits } from "./Invoice.ts"
import { InvalidInvoice } from "./InvoiceError.ts"
import type { Violation } from "./Violation.ts"

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

/** Why a document can't be held as an invoice: the content of `InvalidInvoice`, as plain data. */
export interface Faults {
  readonly kind: "syntax" | "meaning"
  readonly violations: ReadonlyArray<Violation>
}

/**
 * The invoice of a document, or its faults (at most 100), in the order of the contract's fields.
 *
 * The document is what `Json.parse` made (numbers kept as text), or any plain object; a JS number is taken by its
 * shortest text. `pointer` stands before every path, for a document within a document.
 */
export const parse = (
  document: unknown,
  options: { readonly pointer?: string | undefined } = {}
): Result.Result<Invoice, InvalidInvoice> =>
  Result.mapError(read(document, options), (faults) => new InvalidInvoice(faults))

/** Like `parse`, with the faults as plain data: a bundle without the error class needs no Schema either. */
export const read = (
  document: unknown,
  options: { readonly pointer?: string | undefined } = {}
): Result.Result<Invoice, Faults> => {
  const at = options.pointer ?? ""
  const reader = new FieldReader(limits.faults)
  const invoice = isFields(document)
    ? readInvoice(reader, document, at)
    : reader.fault("INV-TYPE", at, "must be an object", "object", document ?? "nothing")
  return invoice !== undefined && reader.violations.length === 0
    ? Result.succeed(invoice)
    : Result.fail({ kind: reader.syntax ? "syntax" : "meaning", violations: reader.violations })
}

const readInvoice = (reader: FieldReader, record: Fields, at: string): Invoice | undefined => {
  const id = reader.uuid(reader.required(record, "id", `${at}/id`), `${at}/id`)
  const customerId = reader.uuid(reader.required(record, "customer_id", `${at}/customer_id`), `${at}/customer_id`)
  const decimal = reader.decimal(reader.required(record, "amount", `${at}/amount`), `${at}/amount`)
  const currency = reader.currency(reader.required(record, "currency", `${at}/currency`), `${at}/currency`)
  const amount = reader.money(currency, decimal, `${at}/amount`)
  const dueDate = reader.timestamp(record["due_date"], `${at}/due_date`)
  const createdAt = reader.timestamp(record["created_at"], `${at}/created_at`)
  const updatedAt = reader.timestamp(record["updated_at"], `${at}/updated_at`)
  const lines = readLines(reader, reader.required(record, "items", `${at}/items`), `${at}/items`, currency)
  const notes = readNotes(reader, record["notes"], `${at}/notes`)
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

const readLines = (
  reader: FieldReader,
  value: unknown,
  path: string,
  currency: CurrencyCode | undefined
): ReadonlyArray<InvoiceLine | undefined> | undefined => {
  if (value === undefined) {
    return undefined
  }
  if (!Array.isArray(value)) {
    return reader.fault("INV-TYPE", path, "must be an array", "array", value)
  }
  // read once: a proxy may answer with another length the next time
  const { length } = value
  return length > limits.lines
    ? reader.fault("INV-LINES-MAX", path, "has too many lines", `at most ${limits.lines}`, String(length))
    : // by index: `map` skips the holes of a sparse array, and an iterator may be endless
      Array.from({ length }, (_, index) => readLine(reader, value[index], `${path}/${index}`, currency))
}

const readLine = (
  reader: FieldReader,
  value: unknown,
  path: string,
  currency: CurrencyCode | undefined
): InvoiceLine | undefined => {
  if (!isFields(value)) {
    return reader.fault("INV-TYPE", path, "must be an object", "object", value)
  }
  const required = (field: string): unknown => reader.required(value, field, `${path}/${field}`)
  const description = readDescription(reader, required("description"), `${path}/description`)
  const quantity = reader.decimal(required("quantity"), `${path}/quantity`)
  const unitPrice = reader.decimal(required("unit_price"), `${path}/unit_price`)
  const total = reader.money(currency, reader.decimal(required("total"), `${path}/total`), `${path}/total`)
  reader.unknown(value, lineFields, path)
  return description === undefined || quantity === undefined || unitPrice === undefined || total === undefined
    ? undefined
    : { description, quantity, unitPrice, total }
}

const readDescription = (reader: FieldReader, value: unknown, path: string): string | undefined => {
  const text = reader.text(value, path)
  return text !== undefined && text.length > limits.descriptionLength
    ? reader.fault("INV-TEXT", path, "is too long", `at most ${limits.descriptionLength} characters`)
    : text
}

const readNotes = (reader: FieldReader, value: unknown, path: string): string => {
  const text = value === null ? undefined : reader.text(value, path)
  if (text !== undefined && utf8Length(text) > limits.notesBytes) {
    reader.fault("INV-NOTES-MAX", path, "is too long", `at most ${limits.notesBytes} bytes`)
  }
  return text ?? ""
}

const utf8Length = (text: string): number => {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return bytes
}
