/** Reading invoices: by id, their histories, and pages of them. */
import { InvalidCursor, Invoice, InvoiceNotFound, Timestamp } from "@invoice/core"
import {
  type InvoiceStore,
  type ListQuery,
  maxPageBytes,
  type Page,
  type StoredInvoice
} from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import type { Entry, State } from "./State.ts"

type Port = InvoiceStore["Service"]
type Invoices = State["Service"]["invoices"]

export const make = ({ invoices }: State["Service"]): Pick<Port, "get" | "getMany" | "history" | "list"> => ({
  get: (id) => Effect.map(find(invoices, id), ({ stored }) => stored),
  getMany: (ids) => Effect.sync(() => [...new Set(ids)].flatMap((id) => invoices.get(id)?.stored ?? [])),
  history: (id) => Effect.map(find(invoices, id), ({ history }) => [...history]),
  list: (query) => Effect.suspend(() => list(invoices, query))
})

const find = (invoices: Invoices, id: string): Effect.Effect<Entry, InvoiceNotFound> =>
  Effect.suspend(() => {
    const entry = invoices.get(id)
    return entry === undefined ? Effect.fail(new InvoiceNotFound({ id })) : Effect.succeed(entry)
  })

const list = (invoices: Invoices, query: ListQuery): Effect.Effect<Page, InvalidCursor> => {
  const { cursor, limit } = query
  if (cursor !== undefined && !/^[1-9]\d{0,14}$/u.test(cursor)) {
    return Effect.fail(new InvalidCursor({ cursor }))
  }
  const newestFirst = [...invoices.values()]
    .map(({ stored }, index) => ({ stored, position: index + 1 }))
    .reverse()
    .filter(({ position, stored }) => (cursor === undefined || position < Number(cursor)) && isListed(stored, query))
  const items = newestFirst.slice(0, fitting(newestFirst.slice(0, limit)))
  const last = items.at(-1)
  return Effect.succeed({
    items: items.map(({ stored }) => stored),
    next: newestFirst.length > items.length && last !== undefined ? Option.some(`${last.position}`) : Option.none()
  })
}

const isListed = ({ invoice, status, storedAt }: StoredInvoice, query: ListQuery): boolean =>
  (query.status === undefined || status === query.status) &&
  (query.customerId === undefined || invoice.customerId === query.customerId) &&
  (query.currency === undefined || invoice.amount.currency === query.currency) &&
  isWithin(invoice.dueDate, query.dueAfter, query.dueBefore) &&
  isWithin(storedAt, query.storedAfter, query.storedBefore)

type Time = Timestamp.Timestamp | undefined

const isWithin = (time: Time, after: Time, before: Time): boolean =>
  time === undefined
    ? after === undefined && before === undefined
    : (after === undefined || Timestamp.compare(time, after) >= 0) &&
      (before === undefined || Timestamp.compare(time, before) < 0)

const utf8 = new TextEncoder()

/** How many of the invoices fit into a page; the first one always does. */
const fitting = (entries: ReadonlyArray<{ readonly stored: StoredInvoice }>): number => {
  let bytes = 0
  const end = entries.findIndex(({ stored }, index) => {
    const text = Invoice.canonical(stored.invoice) + JSON.stringify(stored.violations)
    bytes += utf8.encode(text).length
    return bytes > maxPageBytes && index > 0
  })
  return end === -1 ? entries.length : end
}
