/** Reading invoices: by id, their histories, and pages of them. */
import { InvalidCursor, InvoiceNotFound } from "@invoice/core"
import type { InvoiceStore, ListQuery, Page } from "@invoice/core/ports/InvoiceStore"
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

const list = (
  invoices: Invoices,
  { currency, cursor, customerId, limit, status }: ListQuery
): Effect.Effect<Page, InvalidCursor> => {
  if (cursor !== undefined && !/^[1-9]\d{0,14}$/u.test(cursor)) {
    return Effect.fail(new InvalidCursor({ cursor }))
  }
  const newestFirst = [...invoices.values()]
    .map(({ stored }, index) => ({ stored, position: index + 1 }))
    .reverse()
    .filter(
      ({ position, stored }) =>
        (cursor === undefined || position < Number(cursor)) &&
        (status === undefined || stored.status === status) &&
        (customerId === undefined || stored.invoice.customerId === customerId) &&
        (currency === undefined || stored.invoice.amount.currency === currency)
    )
  const items = newestFirst.slice(0, limit)
  const last = items.at(-1)
  return Effect.succeed({
    items: items.map(({ stored }) => stored),
    next: newestFirst.length > limit && last !== undefined ? Option.some(`${last.position}`) : Option.none()
  })
}
