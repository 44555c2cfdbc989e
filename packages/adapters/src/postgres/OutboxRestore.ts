/** Makes the outbox usable after a restore. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Migrations from "./Migrations.ts"

export interface Restamped {
  /** Events that will be published (again). */
  readonly waiting: number
  /** Events that were published before. */
  readonly published: number
}

/** Id of the transaction that wrote a row: the newest completed one that ends in the 32 bits which `xmin` has. */
const writtenBy = (row: string): string => `(m.ended - 1 - (m.ended - 1 - ${row}.xmin::text::bigint) % 4294967296)`

/**
 * Events that wait in a database that was restored elsewhere. Of the events that came with the dump these are the ones
 * that the lanes' positions have not passed, by the old system's transaction ids. All events that were written here
 * wait, since no relay has run here.
 *
 * The `xid` of an event that was written here is a transaction of this system after the restore (so not older than the
 * oldest restored row). That transaction wrote the row itself, or in a savepoint, which has a later id.
 */
const selectWaitingHere = `
with m as (
  select (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint as ended
), restored as (
  select min(xid) as since from m, lateral (
    select ${writtenBy("t")} as xid from ${Migrations.table} t
    union all select ${writtenBy("t")} from outbox_state t
    union all select ${writtenBy("t")} from outbox_cursor t
  ) rows
)
select e.seq from m, restored r, outbox_event e join outbox_cursor c on c.lane = e.lane
where e.xid::text::bigint between r.since and ${writtenBy("e")}
  or (not pg_visible_in_snapshot(e.xid, c.lo)
    and (c.pos is null or e.seq > c.pos or not pg_visible_in_snapshot(e.xid, c.hi)))`

/**
 * Makes the outbox of a restored database usable in the system that it is in now. A dump has the old system's
 * transaction ids, which mean nothing here. So waiting events are stamped with this transaction's id, published events
 * with the first id of all, and every position is put between the two. The order within a key is still the order of
 * `seq`.
 */
export const restamp: Effect.Effect<Restamped, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`lock table outbox_event in access exclusive mode`
      yield* sql`lock table outbox_cursor in access exclusive mode`
      yield* sql.unsafe(`create temporary table waiting on commit drop as ${selectWaitingHere}`)
      const [waiting] = yield* sql<{ count: number }>`with stamped as (
          update outbox_event e set xid = pg_current_xact_id() from waiting w where w.seq = e.seq returning 1
        ) select count(*)::int as count from stamped`
      const [published] = yield* sql<{ count: number }>`with stamped as (
          update outbox_event e set xid = '3' where not exists (select from waiting w where w.seq = e.seq) returning 1
        ) select count(*)::int as count from stamped`
      // a writer that has its transaction id and has not written yet will commit under an id below this transaction's
      yield* sql`update outbox_cursor set hi = null, pos = null, epoch = epoch + 1, owner = null, lease_until = null,
        lease_millis = null, lo = (select (oldest || ':' || oldest || ':')::pg_snapshot
          from (select least(pg_snapshot_xmin(pg_current_snapshot()), pg_current_xact_id())::text as oldest) s)`
      // cursors from before the restore mean nothing here: they expire, and watches begin anew
      yield* sql`update outbox_state set system_identifier = (select system_identifier from pg_control_system()),
        emptied_xid = pg_current_xact_id(), emptied_seq = (select last_value + 1 from outbox_seq)`
      return { waiting: waiting?.count ?? 0, published: published?.count ?? 0 }
    })
  )
})

/** Declares that this system continues the old transaction ids, as after `pg_upgrade`: no event is stamped. */
export const adopt: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    Effect.asVoid(sql`update outbox_state set system_identifier = (select system_identifier from pg_control_system())`)
)
