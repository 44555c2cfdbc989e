/** `InvoiceStore` in memory: for tests, examples and demonstrations. Every operation is one synchronous step. */
import {
  InvalidCursor,
  Invoice,
  InvoiceConflict,
  InvoiceEvent,
  InvoiceNotFound,
  InvoiceStatus,
  InvoiceStore,
  OutboxEvent,
  Timestamp
} from "@invoice/core"
import type { ChangesPage, Creation, Decided, Page, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Clock, Effect, Layer, Option } from "effect"
import { State } from "./State.ts"

const now = Effect.map(Clock.currentTimeMillis, (millis) => Timestamp.fromMillis(Math.floor(millis)))

/** On a state that is provided, to share it with the outbox. */
export const layer: Layer.Layer<InvoiceStore, never, State> = Layer.effect(
  InvoiceStore,
  Effect.gen(function* () {
    const { events, invoices, record } = yield* State

    const find = (id: string) =>
      Effect.suspend(() => {
        const entry = invoices.get(id)
        return entry === undefined ? Effect.fail(new InvoiceNotFound({ id })) : Effect.succeed(entry)
      })

    return InvoiceStore.of({
      create: (invoice, options) =>
        Effect.flatMap(now, (at): Effect.Effect<Creation, InvoiceConflict> => {
          const there = invoices.get(invoice.id)
          if (there !== undefined) {
            return Invoice.canonical(there.stored.invoice) === Invoice.canonical(invoice)
              ? Effect.succeed({ outcome: "Unchanged", stored: there.stored })
              : Effect.fail(new InvoiceConflict({ id: invoice.id }))
          }
          const stored: StoredInvoice = { invoice, status: "Pending", version: 1, violations: [], storedAt: at }
          invoices.set(invoice.id, {
            stored,
            history: [{ version: 1, from: Option.none(), to: "Pending", at, by: "api", violations: [] }]
          })
          record(InvoiceEvent.created(invoice.id), at, options?.traceparent)
          return Effect.succeed({ outcome: "Created", stored })
        }),
      get: (id) => Effect.map(find(id), ({ stored }) => stored),
      getMany: (ids) => Effect.sync(() => [...new Set(ids)].flatMap((id) => invoices.get(id)?.stored ?? [])),
      history: (id) => Effect.map(find(id), ({ history }) => [...history]),
      list: ({ currency, cursor, customerId, limit, status }) =>
        Effect.suspend((): Effect.Effect<Page, InvalidCursor> => {
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
        }),
      decide: (decisions) =>
        Effect.map(now, (at) =>
          decisions.map(({ id, traceparent, verdict, version }): Decided => {
            const entry = invoices.get(id)
            if (entry === undefined) {
              return { id, outcome: "NotFound" }
            }
            const { stored } = entry
            if (!InvoiceStatus.canBecome(stored.status, verdict.status)) {
              return { id, outcome: "AlreadyFinal" }
            }
            if (stored.version !== version) {
              return { id, outcome: "Stale" }
            }
            const { by, status, violations } = verdict
            entry.stored = { ...stored, status, violations, version: version + 1 }
            entry.history.push({
              version: version + 1,
              from: Option.some(stored.status),
              to: status,
              at,
              by,
              violations
            })
            record(InvoiceEvent.decided(id, version + 1, verdict), at, traceparent)
            return { id, outcome: "Decided" }
          })
        ),
      changes: ({ cursor = "0", limit }) =>
        Effect.suspend((): Effect.Effect<ChangesPage, InvalidCursor> => {
          const from = Number(cursor)
          if (!/^(0|[1-9]\d{0,14})$/u.test(cursor) || from > events.length) {
            return Effect.fail(new InvalidCursor({ cursor }))
          }
          const page = events.slice(from, from + limit)
          return Effect.succeed({
            changes: page.flatMap((event, index) => {
              const change = OutboxEvent.toChange(event)
              return change === undefined ? [] : { ...change, cursor: String(from + index + 1) }
            }),
            next: String(from + page.length),
            more: page.length === limit
          })
        }),
      head: Effect.sync(() => String(events.length)),
      ready: Effect.void,
      writable: Effect.void
    })
  })
)
