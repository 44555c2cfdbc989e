/** The changes of all invoices, from the outbox's events of all lanes. A cursor is a position of `SnapshotWindow`. */
import { CursorExpired, InvalidCursor, OutboxEvent, StoreUnavailable, Timestamp } from "@invoice/core"
import type { ChangesPage } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import * as SnapshotWindow from "./SnapshotWindow.ts"

interface Row extends SnapshotWindow.Row {
  readonly key: string
  readonly ver: bigint
  readonly type: string
  readonly payload: Uint8Array
  readonly at: Date
}

const columns = "e.key, e.ver, e.type, e.payload, e.at"

/** By name, so that a simulator of Postgres can run them. */
export const statements = {
  tail: SnapshotWindow.tail(columns),
  rest: SnapshotWindow.rest(columns),
  head: SnapshotWindow.selectHead
} as const

const cursorPattern = /^(\d{1,19}):(\d{1,19}):([\d,]*)(?:\|(\d{1,19}:\d{1,19}:[\d,]*)\|(\d{1,18}))?$/u

/** Most UTF-16 code units of a cursor. It names the transactions in progress: this is more than 700 of them, twice. */
const maxCursorLength = 16_384

/** What Postgres accepts as a snapshot: 0 < xmin ≤ xmax, and the ids in progress rise from xmin and stay below xmax. */
const isSnapshot = (text: string): boolean => {
  const [xmin = "", xmax = "", xip = ""] = text.split(":")
  const inProgress = xip === "" ? [] : xip.split(",")
  const ids = [xmin, ...inProgress, xmax]
  return (
    BigInt(xmin) > 0n &&
    ids.every((id, index) => /^\d{1,19}$/u.test(id) && (index === 0 || BigInt(id) >= BigInt(ids[index - 1] ?? 0))) &&
    (inProgress.length === 0 || BigInt(inProgress.at(-1) ?? 0) < BigInt(xmax))
  )
}

/** Whether Postgres can read the cursor, whoever made it. */
const isWellFormed = (cursor: string): boolean => {
  if (cursor.length > maxCursorLength || !cursorPattern.test(cursor)) return false
  const { lo, window } = SnapshotWindow.parse(cursor)
  return isSnapshot(lo) && (window === undefined || isSnapshot(window.hi))
}

/** Whether events that the cursor has not passed may be gone. */
const isExpired = ({ lo, window }: SnapshotWindow.Position, row: Row): boolean =>
  window === undefined
    ? SnapshotWindow.xminOf(lo) <= BigInt(row.emptied_xid)
    : BigInt(window.pos) + 1n < row.emptied_seq

/** Undefined for an event that is not about an invoice. */
const toChange = ({ at, key, payload, type, ver }: Row) =>
  OutboxEvent.toChange({ key, type, version: Number(ver), payload, at: Timestamp.fromMillis(at.getTime()) })

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
    const position = isWellFormed(cursor) ? SnapshotWindow.parse(cursor) : undefined
    if (position === undefined) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    const { lo, window } = position
    const read =
      window === undefined
        ? select<Row>(statements.tail, [lo, limit])
        : select<Row>(statements.rest, [lo, limit, window.hi, BigInt(window.pos)])
    return Effect.flatMap(read, (all): Effect.Effect<ChangesPage, InvalidCursor | CursorExpired | StoreUnavailable> => {
      const [first] = all
      if (first?.standby === true) return Effect.fail(standby)
      if (first !== undefined && options.cursor !== undefined && isExpired(position, first)) {
        return Effect.fail(new CursorExpired({ cursor }))
      }
      // transaction ids only rise, so the cursor is from another database
      if (SnapshotWindow.unusable(position, first) !== undefined) return Effect.fail(new InvalidCursor({ cursor }))
      const { hi, more, next, rows } = SnapshotWindow.page(position, limit, all)
      return Effect.succeed({
        changes: rows.flatMap((row) => {
          const change = toChange(row)
          return change === undefined ? [] : { ...change, cursor: SnapshotWindow.format(lo, hi, String(row.seq)) }
        }),
        next,
        more
      })
    })
  }

  const head: Effect.Effect<string, StoreUnavailable> = Effect.flatMap(
    select<SnapshotWindow.HeadRow>(statements.head, []),
    ([row]) => {
      if (row === undefined) return Effect.succeed(SnapshotWindow.beginning)
      return row.standby ? Effect.fail(standby) : Effect.succeed(SnapshotWindow.head(row))
    }
  )

  return { changes, head }
}

const standby = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error(
    "changes can't be read from a hot standby: its snapshots don't tell which transactions are in progress"
  )
})
