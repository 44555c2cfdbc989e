/**
 * An invoice as JSON. Written by hand, since its numbers must be exact and it runs for every request. Each field is written
 * in one place, whatever the route.
 */
import { Decimal, type Invoice, Money } from "@invoice/core"
import type { HistoryEntry, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import type { Verdict } from "@invoice/core/Verdict"
import type { Violation } from "@invoice/core/Violation"
import { Option } from "effect"

/** The fields that every route has, without braces. */
const fields = (invoice: Invoice.Invoice, quantity: (decimal: Decimal.Decimal) => string): string => {
  const items = invoice.lines.map(
    (line) =>
      `{"description":${JSON.stringify(line.description)},"quantity":${quantity(line.quantity)},"unit_price":"${Decimal.format(line.unitPrice)}","total":"${Money.format(line.total)}"}`
  )
  return (
    `"id":"${invoice.id}","customer_id":"${invoice.customerId}","amount":"${Money.format(invoice.amount)}",` +
    `"currency":"${invoice.amount.currency}",${optional("due_date", invoice.dueDate)}` +
    `${optional("created_at", invoice.createdAt)}${optional("updated_at", invoice.updatedAt)}` +
    `"items":[${items.join(",")}],"notes":${JSON.stringify(invoice.notes)}`
  )
}

const optional = (name: string, value: string | undefined): string =>
  value === undefined ? "" : `"${name}":"${value}",`

/** The reference's clients read a JSON integer; with decimals or more than 15 digits it is written as a string. */
const integerOrString = (decimal: Decimal.Decimal): string => {
  const text = Decimal.format(decimal)
  return /^-?\d{1,15}$/u.test(text) ? text : `"${text}"`
}

const string = (decimal: Decimal.Decimal): string => `"${Decimal.format(decimal)}"`

/** As the reference's routes answer it. */
export const reference = (invoice: Invoice.Invoice): string => `{${fields(invoice, integerOrString)}}`

const list = (violations: ReadonlyArray<Violation>): string =>
  violations.length === 0 ? "[]" : JSON.stringify(violations)

/** As v1 answers it. */
export const stored = ({ invoice, status, storedAt, version, violations }: StoredInvoice): string =>
  `{${fields(invoice, string)},"status":"${status}","version":${version},"stored_at":"${storedAt}","violations":${list(violations)}}`

export const page = (items: ReadonlyArray<StoredInvoice>, next: string | undefined): string =>
  `{"invoices":[${items.map(stored).join(",")}]${next === undefined ? "" : `,"next_cursor":${JSON.stringify(next)}`}}`

export const history = (entries: ReadonlyArray<HistoryEntry>): string =>
  JSON.stringify({
    history: entries.map(({ at, by, from, to, version, violations }) => ({
      version,
      ...Option.match(from, { onNone: () => ({}), onSome: (from) => ({ from }) }),
      to,
      at,
      by,
      violations
    }))
  })

export const verdict = ({ by, status, violations }: Verdict): string =>
  `{"status":"${status}","violations":${list(violations)},"by":${JSON.stringify(by)}}`
