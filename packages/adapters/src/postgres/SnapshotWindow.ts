/**
 * Reads committed events by windows between two snapshots: the rows that `lo` does not see and `hi` does, in the order
 * of `seq`. Nothing is lost or reordered, whatever transactions are open meanwhile (the idea is PgQ's).
 *
 * A position is `lo`, the snapshot up to which everything is read. Within a window that is larger than a page it also
 * has `hi|pos`: the window's end and the last `seq` that was read of it.
 *
 * A position stays valid after a crash of the server. Crash recovery assigns transaction ids again if their write-ahead
 * log was not flushed, so a snapshot as Postgres gives it (its xmax is the latest completed id + 1) may count
 * transactions as seen that are still to come. Here a snapshot ends right after the newest visible *event*: that
 * event's commit was flushed before anybody could see it (`synchronous_commit`), so its id and every lower one are
 * never assigned again. See ADR 0032.
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

/** The ids of the transactions that were in progress, in rising order. */
export const xipOf = (snapshot: string): ReadonlyArray<bigint> => {
  const list = snapshot.split(":")[2] ?? ""
  return list === "" ? [] : list.split(",").map(BigInt)
}

/** The snapshot cut off before the id `limit`: it does not see any transaction from there on. */
export const before = (snapshot: string, limit: bigint): string => {
  const xmax = xmaxOf(snapshot)
  // an event's id can be above the snapshot's xmax only in a database that was restored from another system
  const end = limit < xmax ? limit : xmax
  const xip = xipOf(snapshot).filter((xid) => xid < end)
  return `${xip[0] ?? end}:${end}:${xip.join(",")}`
}

/**
 * The end of a window that begins at `lo`: right after the newest visible event, or where `lo` ends when no event lies
 * after it. A transaction that was in progress at `lo` still is, or is finished for good.
 */
const endOf = (lo: string, hi: string, newest: string | null): string => {
  const end = xmaxOf(lo)
  const after = newest === null ? end : BigInt(newest) + 1n
  return before(hi, after > end ? after : end)
}

/** The server's start, which identifies its run: microseconds since 1970. It differs after a restart or a failover. */
export const serverStart = "(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text"

/** The value in the first row only: sending it with each of a thousand events would cost more than reading them. */
const onFirst = (expression: string): string =>
  `case when row_number() over (order by e.seq) = 1 then ${expression} end`

const common = `${onFirst("s.emptied_seq")} as emptied_seq, ${onFirst("s.emptied_xid::text")} as emptied_xid,
  ${onFirst("pg_is_in_recovery()")} as standby, ${onFirst(serverStart)} as server`

/**
 * The first page of a window, in two halves that both use the index: events of transactions that were in progress at
 * `lo`, and of those that began after it. Under READ COMMITTED a statement sees exactly what its
 * `pg_current_snapshot()` sees, so the upper bound needs no condition. There is always at least one row, to carry the
 * columns of the first row such as `hi`; its `seq` is null when there is no event.
 *
 * Parameters: 1 `lo`, 2 limit; more belong to `condition`.
 *
 * @param columns of `outbox_event e`
 * @param condition on `outbox_event e`
 * @param bounded turns the query of the page's rows into one of its first rows; they then have `found`
 */
export const tail = (columns: string, condition = "true", bounded: Bounded = unbounded): string => `
select ${onFirst("s.hi::text")} as hi, ${common}, ${onFirst(`(
    -- of any lane; by the alias e the text of the id would be sorted
    select n.xid from outbox_event n where n.xid >= pg_snapshot_xmax($1::text::pg_snapshot) order by n.xid desc limit 1
  )::text`)} as newest, e.*
from (select pg_current_snapshot() as hi, emptied_seq, emptied_xid from outbox_state) s left join lateral (
${bounded(`
  select e.seq, ${columns} from (
    select * from outbox_event where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
    union all
    select * from outbox_event where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
  ) e where ${condition} order by e.seq limit $2`)}
) e on true order by e.seq`

/**
 * The next pages of a window, by `seq`. There is always at least one row, as in `tail`.
 *
 * Parameters: 1 `lo`, 2 limit, 3 `hi`, 4 `pos`; more belong to `condition`.
 */
export const rest = (columns: string, condition = "true", bounded: Bounded = unbounded): string => `
select ${onFirst("$3::text")} as hi, ${common}, null as newest, e.*
from outbox_state s left join lateral (
${bounded(`
  select e.seq, ${columns} from outbox_event e
  where e.seq > $4 and ${condition}
    and not pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(e.xid, $3::text::pg_snapshot)
  order by e.seq limit $2`)}
) e on true order by e.seq`

type Bounded = (rows: string) => string

const unbounded: Bounded = (rows) => rows

/**
 * The first rows whose payloads have so many bytes together, at least one. `octet_length` reads no payload. The rows
 * need the columns `seq` and `payload`.
 */
export const withinBytes =
  (bytes: number): Bounded =>
  (rows) =>
    `select * from (
    select e.*, count(*) over () as found,
      sum(octet_length(e.payload)) over (order by e.seq) - octet_length(e.payload) as before
    from (${rows}) e
  ) e where e.before = 0 or e.before + octet_length(e.payload) <= ${bytes}`

/** One row, from which `head` makes a cursor after every visible event. */
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

/** The first row of both statements; in the other rows all of these but `seq` are null. */
export interface Row {
  readonly hi: string
  /** Transaction id of the newest visible event after `lo`, in any lane; null when there is none, and in `rest`. */
  readonly newest: string | null
  /** Set in every row; null only in the single row of a page without events. */
  readonly seq: bigint | null
  readonly emptied_seq: bigint
  readonly emptied_xid: string
  /** How many rows the page had before it was cut; only in bounded pages. */
  readonly found?: bigint | null
  /** A hot standby's snapshots don't tell which transactions are in progress. */
  readonly standby: boolean
  readonly server: string
}

export interface Page<A extends Row> {
  readonly rows: ReadonlyArray<A>
  /** The end of the window to which the rows belong. */
  readonly hi: string
  /** The position after this page. */
  readonly next: string
  /** Whether more events may wait. At the end of a window of several pages that is unknown, so it is true. */
  readonly more: boolean
}

/** Why a page can't be used; undefined when it can. */
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
  const full = rows.length === limit || rows.length < (rows[0]?.found ?? 0)
  const hi = window?.hi ?? (first === undefined ? lo : endOf(lo, first.hi, first.newest))
  return {
    rows,
    hi,
    next: full ? format(lo, hi, String(rows.at(-1)?.seq)) : hi,
    more: full || window !== undefined
  }
}
