/** The changes of invoices, as events. A cursor is the number of events before it. */
import { InvalidCursor, OutboxEvent } from "@invoice/core"
import type { ChangesPage, InvoiceStore } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import type { State } from "./State.ts"

export const make = ({ events }: State["Service"]): Pick<InvoiceStore["Service"], "changes" | "head"> => ({
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
  head: Effect.sync(() => String(events.length))
})
