/** Invoices as rows: which columns are read, and how a row becomes an invoice. */
import { Decimal, type Invoice, type InvoiceStatus, Money, Timestamp, type Violation } from "@invoice/core"
import type { StoredInvoice } from "@invoice/core/ports/InvoiceStore"

export interface InvoiceRow {
  readonly id: string
  readonly position: bigint
  readonly customer_id: string
  readonly currency: string
  readonly amount: string
  readonly due_date: string | null
  readonly created_at: string | null
  readonly updated_at: string | null
  readonly notes: string
  readonly status: InvoiceStatus.InvoiceStatus
  readonly version: bigint
  readonly violations: string
  readonly stored_at: Date
  /** JSON: `[[description, quantity, unit price, total], …]`, in the order of the lines. */
  readonly lines: string
}

/** The columns of `InvoiceRow`, selected from `invoice i`. */
export const columns = `i.id, i.position, i.customer_id, i.currency, i.amount, i.due_date, i.created_at, i.updated_at,
  i.notes, i.status, i.version, i.violations::text as violations, i.stored_at,
  coalesce((
    select json_agg(json_build_array(l.description, trim_scale(l.quantity)::text, trim_scale(l.unit_price)::text,
      l.total::text) order by l.line_no)
    from invoice_line l where l.invoice_id = i.id
  ), '[]')::text as lines`

type LineRow = readonly [description: string, quantity: string, unitPrice: string, total: string]

export const toStored = (row: InvoiceRow): StoredInvoice => {
  const amount = money(row.currency, row.amount)
  const lines = JSON.parse(row.lines) as ReadonlyArray<LineRow>
  return {
    invoice: {
      id: row.id as Invoice.InvoiceId,
      customerId: row.customer_id as Invoice.CustomerId,
      amount,
      dueDate: timestamp(row.due_date),
      createdAt: timestamp(row.created_at),
      updatedAt: timestamp(row.updated_at),
      lines: lines.map(([description, quantity, unitPrice, total]) => ({
        description,
        quantity: decimal(quantity),
        unitPrice: decimal(unitPrice),
        total: money(row.currency, total)
      })),
      notes: row.notes
    },
    status: row.status,
    version: Number(row.version),
    violations: violations(row.violations),
    storedAt: Timestamp.fromMillis(row.stored_at.getTime())
  }
}

export const violations = (json: string): ReadonlyArray<Violation.Violation> => JSON.parse(json)

const timestamp = (text: string | null): Timestamp.Timestamp | undefined =>
  text === null ? undefined : Timestamp.fromSortable(text)

const decimal = (text: string): Decimal.Decimal => {
  const parsed = Decimal.parse(text)
  if (parsed === undefined) {
    throw new Error(`the database holds ${JSON.stringify(text)} where a decimal belongs`)
  }
  return parsed
}

const money = (currency: string, text: string): Money.Money => {
  const parsed = Money.fromDecimal(currency as Money.Money["currency"], decimal(text))
  if (parsed === undefined) {
    throw new Error(`the database holds ${JSON.stringify(text)} where an amount in ${currency} belongs`)
  }
  return parsed
}
