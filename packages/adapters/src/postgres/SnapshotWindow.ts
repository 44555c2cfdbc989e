/**
 * Reading what was committed, by windows between two snapshots: the rows that `lo` does not see and `hi` does, in the
 * order of their numbers. Nothing is lost or reordered, whatever transactions are open meanwhile (the idea is PgQ's).
 *
 * A position is `lo`, the snapshot before which everything is read, and within a window that is larger than a page also
 * `hi|pos`: the window's end and the last `seq` read of it.
 *
 * A position outlives a crash of the server. Crash recovery hands out transaction ids again whose write-ahead log was not
 * flushed, so a snapshot as Postgres gives it (its xmax is the latest completed id + 1) would call transactions passed that
 * are still to come. Here a snapshot ends behind the newest *event* that is visible: that event's commit was flushed before
 * anybody could see it (`synchronous_commit`), so its id and every lower one are never handed out again. See ADR 0032.
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

export const xminOf = (snapshot: string): bigint => BigInt(snapshot.split(":")[0] ?? 0)
export const xmaxOf = (snapshot: string): bigint => BigInt(snapshot.split(":")[1] ?? 0)

/** The transactions that were in progress, rising. */
const xipOf = (snapshot: string): ReadonlyArray<bigint> => {
  const list = snapshot.split(":")[2] ?? ""
  return list === "" ? [] : list.split(",").map(BigInt)
}

/** A snapshot cut off before the id `limit`: what is in progress or finished from there on is not seen yet. */
export const before = (snapshot: string, limit: bigint): string => {
  const xmax = xmaxOf(snapshot)
  // an event's id can be beyond all ids only in a database that was restored from another system
  const end = limit < xmax ? limit : xmax
  const xip = xipOf(snapshot).filter((xid) => xid < end)
  return `${xip[0] ?? end}:${end}:${xip.join(",")}`
}

/**
 * The end of a window that begins at `lo`: behind the newest visible event, or where `lo` ended when there is none behind
 * it. What `lo` has seen in progress is in progress, or is finished for good.
 */
const endOf = (lo: string, hi: string, newest: string | null): string => {
  const end = xmaxOf(lo)
  const after = newest === null ? end : BigInt(newest) + 1n
  return before(hi, after > end ? after : end)
}

/** The run of the server, which a restart or another server changes: microseconds since the epoch. */
export const serverStart = "(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text"

/** Of the first row alone: it costs more to hand it over with each of a thousand events than to read them. */
const onFirst = (expression: string): string =>
  `case when row_number() over (order by e.seq) = 1 then ${expression} end`

const common = `${onFirst("s.emptied_seq")} as emptied_seq, ${onFirst("s.emptied_xid::text")} as emptied_xid,
  ${onFirst("pg_is_in_recovery()")} as standby, ${onFirst(serverStart)} as server`

/**
 * The first page of a window, in two halves that are each on the index: those that were in progress at `lo`, and those
 * that began after it. Under READ COMMITTED a statement sees exactly what its `pg_current_snapshot()` sees, so the upper
 * bound needs no condition. Always at least one row, the first, for `hi` and its like; its `seq` is null when there is no
 * event.
 *
 * Parameters: 1 `lo`, 2 limit; more belong to `condition`.
 *
 * @param columns of `outbox_event e`
 * @param condition on `outbox_event e`
 */
export const tail = (columns: string, condition = "true"): string => `
select ${onFirst("s.hi::text")} as hi, ${common}, ${onFirst(`(
    -- of any lane; by the alias e the text of the id would be sorted
    select n.xid from outbox_event n where n.xid >= pg_snapshot_xmax($1::text::pg_snapshot) order by n.xid desc limit 1
  )::text`)} as newest, e.*
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
select ${onFirst("$3::text")} as hi, ${common}, null as newest, e.*
from outbox_state s left join lateral (
  select e.seq, ${columns} from outbox_event e
  where e.seq > $4 and ${condition}
    and not pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(e.xid, $3::text::pg_snapshot)
  order by e.seq limit $2
) e on true order by e.seq`

/** A cursor behind everything that is visible, from `selectHead`'s one row. */
export const selectHead = `
select pg_current_snapshot()::text as hi, pg_is_in_recovery() as standby, greatest(s.emptied_xid,
  (select n.xid from outbox_event n order by n.xid desc limit 1))::text as newest
from outbox_state s`

export interface HeadRow {
  readonly hi: string
  readonly newest: string
  readonly standby: boolean
}

export const head = ({ hi, newest }: HeadRow): string => endOf(beginning, hi, newest)

/** What the first row of both statements has; in the others all but `seq` are null. */
export interface Row {
  readonly hi: string
  /** The newest visible event behind `lo`, of whatever lane; null when there is none, and in a window. */
  readonly newest: string | null
  /** Of every row; null in the one row of a page without events. */
  readonly seq: bigint | null
  readonly emptied_seq: bigint
  readonly emptied_xid: string
  /** A hot standby's snapshots don't tell which transactions are in progress. */
  readonly standby: boolean
  readonly server: string
}

export interface Page<A extends Row> {
  readonly rows: ReadonlyArray<A>
  /** The end of the window that the rows are of. */
  readonly hi: string
  /** The position after it. */
  readonly next: string
  /** Whether more was waiting. At the end of a window nobody knows, so there it says yes. */
  readonly more: boolean
}

/** Why a page can't be believed; undefined when it can. */
export const unusable = ({ lo, window }: Position, first: Row | undefined): string | undefined => {
  if (first === undefined) return "the outbox has no state: is its schema there?"
  if (first.standby) return "this is a hot standby, whose snapshots don't tell which transactions are in progress"
  return window === undefined && xmaxOf(first.hi) < xmaxOf(lo)
    ? `the database is behind the position: its transactions end at ${xmaxOf(first.hi)}, the position at ${xmaxOf(lo)}`
    : undefined
}

export const page = <A extends Row>(position: Position, limit: number, all: ReadonlyArray<A>): Page<A> => {
  const { lo, window } = position
  const [first] = all
  const rows = all.filter(({ seq }) => seq !== null)
  const full = rows.length === limit
  const hi = window?.hi ?? (first === undefined ? lo : endOf(lo, first.hi, first.newest))
  return {
    rows,
    hi,
    next: full ? format(lo, hi, String(rows.at(-1)?.seq)) : hi,
    more: full || window !== undefined
  }
}
