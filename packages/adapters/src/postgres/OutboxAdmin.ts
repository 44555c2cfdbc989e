/** An operator's commands for the outbox: change the number of lanes, and make it usable after a restore. */
import { Lane } from "@invoice/core"
import { Effect, type Layer, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Client from "./Client.ts"
import * as Migrations from "./Migrations.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

/** Nothing was changed; `reason` says why. */
export class OutboxNotChanged extends Schema.TaggedError<OutboxNotChanged>()("OutboxNotChanged", {
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

export interface ResizeOptions {
  /** The new number of lanes, from 1. */
  readonly lanes: number
  /** Number of partitions of the topics: the lanes must divide it, else two lanes would share a partition. */
  readonly partitions: number
  /** How long to wait at most for the lock, and then for the relays, in milliseconds each; default 10,000. */
  readonly waitMillis?: number
}

const pollMillis = 20

/** Whether a lane's committed position has not passed all its events. The last condition is for one within a window. */
const selectWaiting = `
select exists (
  select from outbox_cursor c join outbox_event e on e.lane = c.lane
  where e.xid >= pg_snapshot_xmin(c.lo) and not pg_visible_in_snapshot(e.xid, c.lo)
    and (c.pos is null or e.seq > c.pos or not pg_visible_in_snapshot(e.xid, c.hi))
) as waiting`

/**
 * Changes the number of lanes. This may move a key to another lane, and a key must not be in two lanes at once. So
 * writers wait (readers don't) until the relays have published everything, and then the number is changed in the same
 * transaction. When that takes too long nothing is changed.
 */
export const resize = ({ lanes, partitions, waitMillis = 10_000 }: ResizeOptions) =>
  Effect.gen(function* () {
    if (!Number.isInteger(lanes) || lanes < 1 || partitions % lanes !== 0) {
      return yield* new OutboxNotChanged({
        reason: `${lanes} lanes don't divide ${partitions} partitions, so two lanes would share one`
      })
    }
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(`set local lock_timeout = ${Math.max(1, Math.ceil(waitMillis))}`)
        // from here on writers of events wait; all earlier writers have committed or rolled back
        yield* sql`lock table outbox_event in share row exclusive mode`
        yield* drained(waitMillis)
        yield* sql`update outbox_state set lanes = ${lanes}`
        const lo = yield* currentPosition
        // everything is published, so every lane begins here; the new epoch ends the old leases
        yield* sql`update outbox_cursor set lo = ${lo}::text::pg_snapshot, hi = null, pos = null, epoch = epoch + 1,
          owner = null, lease_until = null, lease_millis = null`
        yield* sql`insert into outbox_cursor (lane, lo)
          select lane, ${lo}::text::pg_snapshot from generate_series(0, ${lanes - 1}::int) as lane on conflict do nothing`
        yield* sql`delete from outbox_cursor where lane >= ${lanes}`
        const keys = (yield* sql<{ key: string }>`select key from outbox_parked_key`).map(({ key }) => key)
        yield* sql.unsafe(
          `update outbox_parked p set lane = t.lane from unnest($1::text[], $2::int4[]) as t (key, lane) where t.key = p.key`,
          [Client.texts(keys), Client.integers(keys.map((key) => Lane.of(key, lanes)))]
        )
      })
    )
  })

/**
 * A position after every event that is committed by now. It ends at this transaction, whose commit is flushed, and not
 * at the latest known id: a crash may make Postgres forget that id and assign it again.
 */
const currentPosition = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ own: string; snapshot: string }>`
    select pg_current_xact_id()::text as own, pg_current_snapshot()::text as snapshot`
  return row === undefined ? SnapshotWindow.beginning : SnapshotWindow.before(row.snapshot, BigInt(row.own))
})

const drained = (waitMillis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (let waited = 0; ; waited += pollMillis) {
      const [row] = yield* sql.unsafe<{ waiting: boolean }>(selectWaiting)
      if (row?.waiting !== true) {
        return
      }
      if (waited >= waitMillis) {
        return yield* new OutboxNotChanged({
          reason: `events still wait to be published after ${waitMillis} ms: is a relay running, and the broker there?`
        })
      }
      yield* Effect.sleep(`${pollMillis} millis`)
    }
  })

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

/** A connection for these operations. */
export const layer = (options: Client.Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Client.layer({ ...options, maxConnections: 1 }, "invoice-outbox-admin", "none")
