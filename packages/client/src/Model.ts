/**
 * What REST v1 reads and writes, as plain types: every decimal is exact, and therefore a string. Times are RFC 3339 in UTC,
 * ids are UUIDs (RFC 9562).
 */

export type InvoiceStatus = "Pending" | "Approved" | "Rejected"

/** One reason why an invoice is refused or rejected. */
export interface Violation {
  /** Stable: a business rule of EN 16931-1, such as `BR-CO-10`, or one of this project, `INV-…`. */
  readonly code: string
  /** An error rejects the invoice, a warning doesn't. */
  readonly severity: "error" | "warning"
  /** JSON pointer (RFC 6901) into the document as it was sent. */
  readonly path: string
  readonly message: string
  readonly expected?: string
  readonly actual?: string
}

/** An exact decimal. The server reads a number's digits as they are sent; a JavaScript number may have lost some before. */
export type DecimalInput = string | number

export interface InvoiceLineInput {
  readonly description: string
  readonly quantity: DecimalInput
  readonly unit_price: DecimalInput
  readonly total: DecimalInput
}

/** An invoice as it is handed in. */
export interface InvoiceInput {
  /** The server makes a UUIDv7 when there is none. */
  readonly id?: string | null
  readonly customer_id: string
  /** What is to be paid. */
  readonly amount: DecimalInput
  /** ISO 4217 alphabetic code. */
  readonly currency: string
  readonly due_date?: string | null
  readonly created_at?: string | null
  readonly updated_at?: string | null
  readonly items: ReadonlyArray<InvoiceLineInput>
  readonly notes?: string | null
}

/** An invoice of an import: with its id, a line that is sent again is not stored twice. */
export interface ImportedInvoiceInput extends InvoiceInput {
  readonly id: string
}

export interface InvoiceLine {
  readonly description: string
  readonly quantity: string
  readonly unit_price: string
  readonly total: string
}

/** An invoice as the platform keeps it. */
export interface Invoice {
  readonly id: string
  readonly customer_id: string
  readonly amount: string
  readonly currency: string
  readonly due_date?: string
  readonly created_at?: string
  readonly updated_at?: string
  readonly items: ReadonlyArray<InvoiceLine>
  readonly notes: string
  readonly status: InvoiceStatus
  /** Counts its changes from 1; the ETag in quotes. */
  readonly version: number
  /** When the platform took it. */
  readonly stored_at: string
  /** The reasons of the verdict; empty while `Pending`. */
  readonly violations: ReadonlyArray<Violation>
}

export interface InvoicePage {
  /** Newest first. */
  readonly invoices: ReadonlyArray<Invoice>
  /** Absent on the last page. */
  readonly next_cursor?: string
}

export interface HistoryEntry {
  readonly version: number
  /** Absent for the creation. */
  readonly from?: InvoiceStatus
  readonly to: InvoiceStatus
  readonly at: string
  /** Who did it: the sender's name for a creation, `<profile>@<version>` for a verdict. */
  readonly by: string
  readonly violations: ReadonlyArray<Violation>
}

export interface History {
  /** Oldest first. */
  readonly history: ReadonlyArray<HistoryEntry>
}

/** What validation says about an invoice; nothing is stored. */
export interface Verdict {
  readonly status: "Approved" | "Rejected"
  readonly violations: ReadonlyArray<Violation>
  /** The profile that judged, `<name>@<version>`. */
  readonly by: string
}

/** A change of some invoice. */
export interface Change {
  readonly id: string
  readonly status: InvoiceStatus
  readonly version: number
  readonly violations: ReadonlyArray<Violation>
  readonly at: string
}

/** What went wrong (RFC 9457). */
export interface Problem {
  /** One of `Problems.kinds`, as a path: `/problems/invoice-not-found`. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  /** Of a defect: what to look up in the server's log. */
  readonly instance?: string
  /** Every fault of a document that is not an invoice. */
  readonly violations?: ReadonlyArray<Violation>
}

/** What became of one line of an import. */
export interface ImportResult {
  /** The number of the line in what was sent, from 1. */
  readonly line: number
  /** `Unchanged`: the same invoice was there already. */
  readonly outcome: "Created" | "Unchanged" | "Failed"
  /** Present when the invoice is stored. */
  readonly id?: string
  /** Why it failed. */
  readonly problem?: Problem
}
