/** The changes of all invoices, from the outbox's events of all lanes. A cursor names a position of `SnapshotWindow`. */
import { CursorExpired, InvalidCursor, OutboxEvent, StoreUnavailable, Timestamp } from "@invoice/core"
import type { ChangesPage } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import * as ChangeCursor from "./ChangeCursor.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

interface Row extends SnapshotWindow.Row {
  readonly key: string
  readonly ver: bigint
  readonly type: string
  readonly payload: Uint8Array
  readonly at: Date
}

const columns = "e.key, e.ver, e.type, e.payload, e.at"

/** What the payloads of a page have together at most, in bytes; a larger one is a page of its own. */
const maxPageBytes = 1_048_576

const bounded = SnapshotWindow.withinBytes(maxPageBytes)

/** By name, so that a simulator of Postgres can run them. */
export const statements = {
  tail: SnapshotWindow.tail(columns, "true", bounded),
  /** As `tail`, up to the snapshot in parameter 3. */
  upTo: SnapshotWindow.tail(columns, "pg_visible_in_snapshot(e.xid, $3::text::pg_snapshot)", bounded),
  rest: SnapshotWindow.rest(columns, "true", bounded),
  head: SnapshotWindow.selectHead
} as const

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

type Failure = InvalidCursor | CursorExpired | StoreUnavailable

interface Reading {
  readonly position: SnapshotWindow.Position
  /** The snapshot at which the page ends at the latest. */
  readonly end: string | undefined
  readonly read: Effect.Effect<ReadonlyArray<Row>, StoreUnavailable>
}

/** How a page is read. Undefined: this store did not hand out the cursor. */
const reading = (
  select: Select,
  { cursor, limit, until }: { readonly cursor: string | undefined; readonly limit: number; readonly until?: string }
): Reading | undefined => {
  const position = cursor === undefined ? SnapshotWindow.parse(SnapshotWindow.beginning) : ChangeCursor.parse(cursor)
  if (position === undefined) return undefined
  const { lo, window } = position
  if (window !== undefined) {
    const read = select<Row>(statements.rest, [lo, limit, window.hi, BigInt(window.pos)])
    return { position, end: window.hi, read }
  }
  const target = until === undefined ? undefined : ChangeCursor.parse(until)
  const end = target?.window === undefined ? target?.lo : undefined
  if (end === undefined) return { position, end, read: select<Row>(statements.tail, [lo, limit]) }
  // by number, from the lowest: the first page of a long backlog is found without sorting all of it
  const read =
    cursor === undefined
      ? select<Row>(statements.rest, [lo, limit, end, 0n])
      : select<Row>(statements.upTo, [lo, limit, end])
  return { position, end, read }
}

/** The page of rows that were read. */
const toPage = ({ end, position }: Reading, limit: number, all: ReadonlyArray<Row>): ChangesPage | StoreUnavailable => {
  const { lo, window } = position
  const { hi, more, next, rows } = SnapshotWindow.page(
    window === undefined && end !== undefined ? { lo, window: { hi: end, pos: "0" } } : position,
    limit,
    all
  )
  const cursors = ChangeCursor.ofWindow(lo, hi)
  if (cursors === undefined) return tooManyInProgress
  return {
    changes: rows.flatMap((row) => {
      const change = toChange(row)
      return change === undefined ? [] : { ...change, cursor: cursors.at(row.seq ?? 0n) }
    }),
    next: next === hi ? cursors.end : cursors.at(rows.at(-1)?.seq ?? 0n),
    more: next !== hi || (more && window !== undefined)
  }
}

/** @param selectHead runs the statement of `head`, whose deadline may be shorter */
export const make = (select: Select, selectHead: Select = select) => {
  const changes = (options: {
    readonly cursor?: string | undefined
    readonly limit: number
    readonly until?: string | undefined
  }): Effect.Effect<ChangesPage, Failure> => {
    const { cursor, limit, until } = options
    const how = reading(select, { cursor, limit, ...(until === undefined ? {} : { until }) })
    if (how === undefined) return Effect.fail(new InvalidCursor({ cursor: cursor ?? "" }))
    const { position } = how
    return Effect.flatMap(how.read, (all): Effect.Effect<ChangesPage, Failure> => {
      const [first] = all
      if (first?.standby === true) return Effect.fail(standby)
      if (first !== undefined && cursor !== undefined && isExpired(position, first)) {
        return Effect.fail(new CursorExpired({ cursor }))
      }
      // transaction ids only rise, so the cursor is from another database
      if (SnapshotWindow.unusable(position, first) !== undefined) {
        return Effect.fail(new InvalidCursor({ cursor: cursor ?? "" }))
      }
      if (isBehind(how, first)) return Effect.fail(behind)
      const page = toPage(how, limit, all)
      return page instanceof StoreUnavailable ? Effect.fail(page) : Effect.succeed(page)
    })
  }

  const head: Effect.Effect<string, StoreUnavailable> = Effect.flatMap(
    selectHead<SnapshotWindow.HeadRow>(statements.head, []),
    ([row]) => {
      if (row?.standby === true) return Effect.fail(standby)
      const cursor = ChangeCursor.ofSnapshot(row === undefined ? SnapshotWindow.beginning : SnapshotWindow.head(row))
      return cursor === undefined ? Effect.fail(tooManyInProgress) : Effect.succeed(cursor)
    }
  )

  return { changes, head }
}

/** Whether the database has lost transactions since `until` was handed out. */
const isBehind = ({ end }: Reading, first: Row | undefined): boolean =>
  end !== undefined && first !== undefined && SnapshotWindow.xmaxOf(first.hi) < SnapshotWindow.xmaxOf(end)

const behind = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error("the database is behind a cursor that it has handed out: an earlier state of it was restored")
})

const standby = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error(
    "changes can't be read from a hot standby: its snapshots don't tell which transactions are in progress"
  )
})

const tooManyInProgress = new StoreUnavailable({
  kind: "unavailable",
  cause: new Error("more transactions are in progress than a cursor can name: changes can be read when some have ended")
})
