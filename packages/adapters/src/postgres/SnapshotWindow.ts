/**
 * Reading what was committed, by windows between two snapshots: the rows that `lo` does not see and `hi` does, in the
 * order of their numbers. Nothing is lost or reordered, whatever transactions are open meanwhile (the idea is PgQ's).
 *
 * A position is `lo`, the snapshot before which everything is read, and within a window that is larger than a page also
 * `hi|pos`: the window's end and the last `seq` read of it.
 */

export interface Position {
  readonly lo: string
  readonly window: { readonly hi: string; readonly pos: string } | undefined
}

/** Before all transactions: 3 is the id of the first. */
export const beginning = "3:3:"

export const parse = (position: string): Position => {
  const [lo = "", hi, pos] = position.split("|")
  return { lo, window: hi === undefined || pos === undefined ? undefined : { hi, pos } }
}

export const format = (lo: string, hi: string | null, pos: string | null): string =>
  hi === null || pos === null ? lo : `${lo}|${hi}|${pos}`

/**
 * The first page of a window, in two halves that are each on the index: those that were in progress at `lo`, and those
 * that began after it. Under READ COMMITTED a statement sees exactly what its `pg_current_snapshot()` sees, so the upper
 * bound needs no condition. Always at least one row, for `hi`; its `seq` is null when there is no event.
 *
 * Parameters: 1 `lo`, 2 limit; more belong to `condition`.
 *
 * @param columns of `outbox_event e`
 * @param condition on `outbox_event e`
 */
export const tail = (columns: string, condition = "true"): string => `
select s.hi::text as hi, s.emptied_seq, s.emptied_xid::text as emptied_xid, e.*
from (select pg_current_snapshot() as hi, emptied_seq, emptied_xid from outbox_state) s left join lateral (
  select e.seq, ${columns} from (
    select * from outbox_event where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
    union all
    select * from outbox_event where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
  ) e where ${condition} order by e.seq limit $2
) e on true order by e.seq`

/**
 * The next pages of a window, by number. Always at least one row, as in `tail`.
 *
 * Parameters: 1 `lo`, 2 limit, 3 `hi`, 4 `pos`; more belong to `condition`.
 */
export const rest = (columns: string, condition = "true"): string => `
select $3::text as hi, s.emptied_seq, s.emptied_xid::text as emptied_xid, e.*
from outbox_state s left join lateral (
  select e.seq, ${columns} from outbox_event e
  where e.seq > $4 and ${condition}
    and not pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(e.xid, $3::text::pg_snapshot)
  order by e.seq limit $2
) e on true order by e.seq`

/** What every row of both statements has. */
export interface Row {
  readonly hi: string
  /** Null in the one row of a page without events. */
  readonly seq: bigint | null
  readonly emptied_seq: bigint
  readonly emptied_xid: string
}

export interface Page<A extends Row> {
  readonly rows: ReadonlyArray<A>
  /** The position after it. */
  readonly next: string
  /** Whether more was waiting. At the end of a window nobody knows, so there it says yes. */
  readonly more: boolean
}

export const page = <A extends Row>(position: Position, limit: number, all: ReadonlyArray<A>): Page<A> => {
  const { lo, window } = position
  const hi = all[0]?.hi ?? lo
  const rows = all.filter(({ seq }) => seq !== null)
  const full = rows.length === limit
  return {
    rows,
    next: full ? format(lo, hi, String(rows.at(-1)?.seq)) : hi,
    more: full || window !== undefined
  }
}
