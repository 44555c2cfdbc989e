/**
 * The changes of all invoices, from the outbox's events, by the same windows between two snapshots that the relay reads
 * by: nothing is lost or reordered, whatever transactions are open meanwhile. A cursor is a relay's position.
 */
import { InvalidCursor, InvoiceEvent, type StoreUnavailable, Timestamp } from "@invoice/core"
import type { ChangesPage } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"

interface Row {
  readonly hi: string
  /** Null in the one row of a page without any. */
  readonly seq: bigint | null
  readonly payload: Uint8Array
  readonly at: Date
}

const tail = `
select s.hi::text as hi, e.* from (select pg_current_snapshot() as hi) s left join lateral (
  select e.seq, e.payload, e.at from (
    select * from outbox_event where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
    union all
    select * from outbox_event where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
  ) e order by e.seq limit $2
) e on true order by e.seq`

const window = `
select $2 as hi, e.seq, e.payload, e.at from outbox_event e
where e.seq > $3
  and not pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(e.xid, $2::text::pg_snapshot)
order by e.seq limit $4`

/** Before all transactions: 3 is the id of the first. */
const beginning = "3:3:"

const cursorPattern = /^(\d{1,19}):(\d{1,19}):([\d,]*)(?:\|(\d{1,19}:\d{1,19}:[\d,]*)\|(\d{1,18}))?$/u

const xmax = (snapshot: string): bigint => BigInt(snapshot.split(":")[1] ?? 0)

/** What Postgres accepts as a snapshot: xmin ≤ xmax, and the ids between them rise. */
const isSnapshot = (text: string): boolean => {
  const [xmin = "", xmax = "", xip = ""] = text.split(":")
  const ids = [xmin, ...(xip === "" ? [] : xip.split(",")), xmax]
  return (
    BigInt(xmin) > 0n &&
    ids.every((id, index) => /^\d+$/u.test(id) && (index === 0 || BigInt(id) >= BigInt(ids[index - 1] ?? 0)))
  )
}

type Select = <A extends object>(
  statement: string,
  parameters: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<A>, StoreUnavailable>

export const make = (select: Select) => {
  const page = (lo: string, limit: number, rows: ReadonlyArray<Row>, windowed: boolean): ChangesPage => {
    const hi = rows[0]?.hi ?? lo
    const events = rows.filter(({ seq }) => seq !== null)
    const more = events.length === limit
    return {
      changes: events.map((row) => ({
        ...InvoiceEvent.toChange({ payload: row.payload, at: Timestamp.fromMillis(row.at.getTime()) }),
        cursor: `${lo}|${hi}|${row.seq}`
      })),
      next: more ? `${lo}|${hi}|${events.at(-1)?.seq}` : hi,
      // a window that is read to its end says nothing of what came after it
      more: more || windowed
    }
  }

  const changes = ({
    cursor = beginning,
    limit
  }: {
    readonly cursor?: string | undefined
    readonly limit: number
  }): Effect.Effect<ChangesPage, InvalidCursor | StoreUnavailable> => {
    const [lo = "", hi, seq] = cursor.split("|")
    if (!cursorPattern.test(cursor) || !isSnapshot(lo) || (hi !== undefined && !isSnapshot(hi))) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    return hi !== undefined && seq !== undefined
      ? Effect.map(select<Row>(window, [lo, hi, BigInt(seq), limit]), (rows) =>
          rows.length === 0 ? { changes: [], next: hi, more: true } : page(lo, limit, rows, true)
        )
      : Effect.flatMap(select<Row>(tail, [lo, limit]), (rows) =>
          // transaction ids only rise: a cursor of another database
          xmax(rows[0]?.hi ?? lo) < xmax(lo)
            ? Effect.fail(new InvalidCursor({ cursor }))
            : Effect.succeed(page(lo, limit, rows, false))
        )
  }

  const head: Effect.Effect<string, StoreUnavailable> = Effect.map(
    select<{ hi: string }>("select pg_current_snapshot()::text as hi", []),
    ([row]) => row?.hi ?? beginning
  )

  return { changes, head }
}
