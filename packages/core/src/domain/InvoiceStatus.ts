/**
 * The life of an invoice: `Pending` until it is judged, then `Approved` or `Rejected` for ever.
 *
 * One transition table; adapters ask it (or mirror it in a `where status = 'Pending'`) and never invent their own.
 */
import { Schema } from "effect"

/** Every status, in the order of the reference's wire enum (`Pending = 0`, `Approved = 1`, `Rejected = 2`). */
export const all = ["Pending", "Approved", "Rejected"] as const

export const InvoiceStatus = Schema.Literals(all)
export type InvoiceStatus = (typeof all)[number]

/** A status that no command can leave. */
export type Final = Exclude<InvoiceStatus, "Pending">

const transitions: Readonly<Record<InvoiceStatus, ReadonlyArray<InvoiceStatus>>> = {
  Pending: ["Approved", "Rejected"],
  Approved: [],
  Rejected: []
}

/** Whether an invoice may go from one status to another. Staying where it is isn't a transition. */
export const canBecome = (from: InvoiceStatus, to: InvoiceStatus): boolean => transitions[from].includes(to)
