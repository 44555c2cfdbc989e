/** The lists that are measured: each filter and each pair of them, where it finds much, little and nothing. */
import type { ListQuery } from "@invoice/core/ports/InvoiceStore"
import type { Timestamp } from "@invoice/core/Timestamp"
import * as Rows from "./Rows.ts"

export interface Case {
  readonly name: string
  readonly query: Omit<ListQuery, "limit" | "cursor">
}

const day = (text: string): Timestamp => `${text}T00:00:00Z` as Timestamp

const customer = { customerId: Rows.large }
const rejected = { status: "Rejected" } as const
const dueAtLast = { dueAfter: day("2025-10-01") }
const dueAtFirst = { dueBefore: day("2025-04-01") }
const storedAtLast = { storedAfter: day("2025-07-03") }
const storedAtFirst = { storedBefore: day("2025-07-01") }
const always = { dueAfter: day("2000-01-01"), dueBefore: day("2100-01-01") }
const ever = { storedAfter: day("2000-01-01"), storedBefore: day("2100-01-01") }

const single: ReadonlyArray<Case> = [
  { name: "no filter", query: {} },
  { name: "customer, a usual one", query: { customerId: Rows.usual } },
  { name: "customer, a large one", query: customer },
  { name: "customer, unknown", query: { customerId: "00000000-0000-4000-8000-00000000ffff" } },
  { name: "status, common", query: { status: "Approved" } },
  { name: "status, none since half a year", query: rejected },
  { name: "status, rare", query: { status: "Pending" } },
  { name: "currency, common", query: { currency: "EUR" } },
  { name: "currency, absent", query: { currency: "XAU" } },
  { name: "due, a month", query: { dueAfter: day("2025-03-01"), dueBefore: day("2025-04-01") } },
  { name: "due, everything", query: always },
  { name: "due, nothing", query: { dueAfter: day("2031-01-01") } },
  { name: "stored, a month", query: { storedAfter: day("2025-03-01"), storedBefore: day("2025-04-01") } },
  { name: "stored, everything", query: ever },
  { name: "stored, nothing", query: { storedAfter: day("2031-01-01") } }
]

const pairs: ReadonlyArray<Case> = [
  { name: "customer, status", query: { ...customer, status: "Approved" } },
  { name: "customer, status: nothing", query: { ...customer, ...rejected } },
  { name: "customer, currency", query: { ...customer, currency: "EUR" } },
  { name: "customer, currency: nothing", query: { ...customer, currency: "JPY" } },
  { name: "customer, due", query: { ...customer, ...dueAtFirst } },
  { name: "customer, due: nothing", query: { ...customer, ...dueAtLast } },
  { name: "usual customer, due: nothing", query: { customerId: Rows.usual, dueAfter: day("2031-01-01") } },
  { name: "customer, stored", query: { ...customer, ...storedAtFirst } },
  { name: "customer, stored: nothing", query: { customerId: Rows.early, ...storedAtLast } },
  { name: "status, currency", query: { ...rejected, currency: "EUR" } },
  { name: "status, currency: nothing", query: { ...rejected, currency: "SEK" } },
  { name: "status, due", query: { ...rejected, ...dueAtFirst } },
  { name: "status, due: nothing", query: { ...rejected, ...dueAtLast } },
  { name: "status, stored", query: { ...rejected, ...storedAtFirst } },
  { name: "status, stored: nothing", query: { ...rejected, ...storedAtLast } },
  { name: "currency, due", query: { currency: "EUR", ...dueAtFirst } },
  { name: "currency, due: nothing", query: { currency: "CHF", ...dueAtLast } },
  { name: "currency, stored", query: { currency: "EUR", ...storedAtFirst } },
  { name: "currency, stored: nothing", query: { currency: "NOK", ...storedAtLast } },
  { name: "due, stored", query: { ...dueAtFirst, ...storedAtFirst } },
  { name: "due, stored: nothing", query: { dueBefore: day("2025-02-15"), ...storedAtLast } },
  { name: "all five: nothing", query: { ...customer, ...rejected, currency: "EUR", ...dueAtFirst, ...storedAtFirst } }
]

export const cases: ReadonlyArray<Case> = [...single, ...pairs]
