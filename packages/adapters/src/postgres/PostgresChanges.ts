/** The changes of all invoices, from the outbox's events of all lanes. A cursor is a relay's position. */
import { CursorExpired, InvalidCursor, InvoiceEvent, type StoreUnavailable, Timestamp } from "@invoice/core"
import type { ChangesPage } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import * as SnapshotWindow from "./SnapshotWindow.ts"

interface Row extends SnapshotWindow.Row {
  readonly payload: Uint8Array
  readonly at: Date
}

const tail = SnapshotWindow.tail("e.payload, e.at")
const rest = SnapshotWindow.rest("e.payload, e.at")
export const statements = { tail, rest, head: "select pg_current_snapshot()::text as hi" } as const

const cursorPattern = /^(\d{1,19}):(\d{1,19}):([\d,]*)(?:\|(\d{1,19}:\d{1,19}:[\d,]*)\|(\d{1,18}))?$/u

const xminOf = (snapshot: string): bigint => BigInt(snapshot.split(":")[0] ?? 0)
const xmaxOf = (snapshot: string): bigint => BigInt(snapshot.split(":")[1] ?? 0)

/** What Postgres accepts as a snapshot: xmin ≤ xmax, and the ids between them rise. */
const isSnapshot = (text: string): boolean => {
  const [xmin = "", xmax = "", xip = ""] = text.split(":")
  const ids = [xmin, ...(xip === "" ? [] : xip.split(",")), xmax]
  return (
    BigInt(xmin) > 0n &&
    ids.every((id, index) => /^\d+$/u.test(id) && (index === 0 || BigInt(id) >= BigInt(ids[index - 1] ?? 0)))
  )
}

/** Whether events that the cursor has not passed may be gone. */
const isExpired = ({ lo, window }: SnapshotWindow.Position, row: Row): boolean =>
  window === undefined ? xminOf(lo) <= BigInt(row.emptied_xid) : BigInt(window.pos) + 1n < row.emptied_seq

type Select = <A extends object>(
  statement: string,
  parameters: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<A>, StoreUnavailable>

export const make = (select: Select) => {
  const changes = (options: {
    readonly cursor?: string | undefined
    readonly limit: number
  }): Effect.Effect<ChangesPage, InvalidCursor | CursorExpired | StoreUnavailable> => {
    const { cursor = SnapshotWindow.beginning, limit } = options
    const position = SnapshotWindow.parse(cursor)
    const { lo, window } = position
    if (!cursorPattern.test(cursor) || !isSnapshot(lo) || (window !== undefined && !isSnapshot(window.hi))) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    const read =
      window === undefined
        ? select<Row>(tail, [lo, limit])
        : select<Row>(rest, [lo, limit, window.hi, BigInt(window.pos)])
    return Effect.flatMap(read, (all): Effect.Effect<ChangesPage, InvalidCursor | CursorExpired> => {
      const [first] = all
      if (first !== undefined && options.cursor !== undefined && isExpired(position, first)) {
        return Effect.fail(new CursorExpired({ cursor }))
      }
      const { more, next, rows } = SnapshotWindow.page(position, limit, all)
      // transaction ids only rise: a cursor of another database
      if (first !== undefined && xmaxOf(first.hi) < xmaxOf(lo)) {
        return Effect.fail(new InvalidCursor({ cursor }))
      }
      return Effect.succeed({
        changes: rows.map((row) => ({
          ...InvoiceEvent.toChange({ payload: row.payload, at: Timestamp.fromMillis(row.at.getTime()) }),
          cursor: SnapshotWindow.format(lo, row.hi, String(row.seq))
        })),
        next,
        more
      })
    })
  }

  const head: Effect.Effect<string, StoreUnavailable> = Effect.map(
    select<{ hi: string }>("select pg_current_snapshot()::text as hi", []),
    ([row]) => row?.hi ?? SnapshotWindow.beginning
  )

  return { changes, head }
}
