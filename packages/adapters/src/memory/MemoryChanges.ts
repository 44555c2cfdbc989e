/** The changes of invoices, as events. A cursor is the number of events before it. */
import { InvalidCursor, OutboxEvent } from "@invoice/core"
import type { ChangesPage, InvoiceStore } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import type { State } from "./State.ts"

/** The payloads of a page's events may have this many bytes together; a larger event is a page of its own. */
const maxBytes = 1_048_576

const withinBytes = <A extends { readonly payload: Uint8Array }>(events: ReadonlyArray<A>): ReadonlyArray<A> => {
  let bytes = 0
  const end = events.findIndex(({ payload }, index) => {
    bytes += payload.length
    return index > 0 && bytes > maxBytes
  })
  return end === -1 ? events : events.slice(0, end)
}

export const make = ({ events }: State["Service"]): Pick<InvoiceStore["Service"], "changes" | "head"> => ({
  changes: ({ cursor = "0", limit, until }) =>
    Effect.suspend((): Effect.Effect<ChangesPage, InvalidCursor> => {
      const from = Number(cursor)
      if (!/^(0|[1-9]\d{0,14})$/u.test(cursor) || from > events.length) {
        return Effect.fail(new InvalidCursor({ cursor }))
      }
      const end = Math.min(from + limit, until === undefined ? events.length : Number(until), events.length)
      const page = withinBytes(events.slice(from, end))
      return Effect.succeed({
        changes: page.flatMap((event, index) => {
          const change = OutboxEvent.toChange(event)
          return change === undefined ? [] : { ...change, cursor: String(from + index + 1) }
        }),
        next: String(from + page.length),
        more: page.length === limit || from + page.length < end
      })
    }),
  head: Effect.sync(() => String(events.length))
})
