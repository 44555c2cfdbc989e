/**
 * The partitions of the outbox's table: made ahead of the sequence, emptied when all of their events are published and
 * their retention is over, dropped much later. Nothing but `restamp` updates or deletes events, so there are no dead
 * rows.
 */
import { Effect, Schedule } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"
import * as Client from "./Client.ts"

const ahead = 2

/** How long a statement may wait for a lock that writers would queue behind. */
const lockMillis = 100

/**
 * Makes the partitions that the sequence will need next. Each is created as a separate table and then attached: that
 * doesn't lock writers out, as `create table … partition of` would.
 */
export const ensure = AdvisoryLocks.holding(
  AdvisoryLocks.partitions,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [state] = yield* sql<{ last_value: bigint; leaf_size: bigint }>`
      select last_value, leaf_size from outbox_seq, outbox_state`
    const size = Number(state?.leaf_size ?? 10_000_000)
    const current = Math.floor(Number(state?.last_value ?? 0) / size)
    const names = new Set((yield* attached).map(({ name }) => name))
    for (let number = current; number <= current + ahead; number++) {
      const name = `outbox_event_${number}`
      if (!names.has(name)) {
        // there is nothing for autovacuum to do
        yield* sql.unsafe(`create table ${name} (like outbox_event including defaults including constraints)
          with (autovacuum_enabled = off)`)
        yield* sql.unsafe(`alter table outbox_event attach partition ${name}
          for values from (${number * size}) to (${(number + 1) * size})`)
      }
    }
  })
)

interface OutboxPartition {
  readonly name: string
  /** The first `seq` after the partition. */
  readonly until: bigint
}

/** Oldest first. */
const attached = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<OutboxPartition>`
    select c.relname as name,
      (regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \\('(\\d+)'\\)$$))[1]::bigint as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'outbox_event'::regclass order by until`
)

/**
 * One row if every lane's position has passed every event of a partition: a position has seen all transactions below
 * its snapshot's xmin. A transaction that is open anywhere holds that xmin back, so emptying waits for it; publishing
 * doesn't.
 */
const passed = (name: string) => `
  select (select max(xid) from ${name})::text as xid
  where coalesce((select max(xid) from ${name}) < (select min(pg_snapshot_xmin(lo)) from outbox_cursor), false)`

/**
 * Empties one partition. Writers wait behind its request for the lock, so it waits {@link lockMillis} for it at most.
 * Under the lock nobody writes to the partition, so it checks again whether everything is passed: a late writer may
 * have committed meanwhile. A late writer that has not committed yet holds a lock of its own, so the partition stays.
 */
const empty = (partition: OutboxPartition) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(`set local lock_timeout = ${lockMillis}`)
        yield* sql.unsafe(`lock table ${partition.name} in access exclusive mode`)
        const [now] = yield* sql.unsafe<{ xid: string }>(passed(partition.name))
        if (now === undefined) {
          return false
        }
        yield* sql.unsafe(`truncate ${partition.name}`)
        yield* sql`update outbox_state set emptied_seq = greatest(emptied_seq, ${partition.until}),
          emptied_xid = greatest(emptied_xid, ${now.xid}::text::xid8)`
        yield* sql`insert into outbox_emptied_leaf (name) values (${partition.name})
          on conflict (name) do update set at = excluded.at`
        return true
      })
    )
  })

/**
 * Empties the full partitions whose last event is older than the retention, and drops those that have been empty for as
 * long again. A partition that can't be locked within {@link lockMillis} is left for the next run.
 */
export const retire = (retentionMillis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [state] = yield* sql<{ last_value: bigint }>`select last_value from outbox_seq`
    const full = (yield* attached).filter(({ until }) => until <= (state?.last_value ?? 0n))
    for (const partition of full) {
      const [old] = yield* sql.unsafe<{ old: boolean }>(
        `select at < clock_timestamp() - $1::bigint * interval '1 ms' as old from ${partition.name} order by seq desc limit 1`,
        [BigInt(retentionMillis)]
      )
      if (old?.old === true && (yield* sql.unsafe(passed(partition.name))).length > 0) {
        const emptied = yield* orLater(empty(partition))
        if (emptied) {
          yield* Effect.logInfo("outbox partition emptied").pipe(Effect.annotateLogs({ partition: partition.name }))
        }
      }
    }
    const gone = yield* sql<{ name: string }>`select name from outbox_emptied_leaf
      where at < clock_timestamp() - ${BigInt(retentionMillis)}::bigint * interval '1 ms'`
    for (const { name } of gone.filter(({ name }) => full.some((partition) => partition.name === name))) {
      yield* orLater(drop(name))
    }
  })

/** Drops an emptied partition, unless a very late writer has written to it again. */
const drop = (name: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(`set local lock_timeout = ${lockMillis}`)
        yield* sql.unsafe(`lock table ${name} in access exclusive mode`)
        const rows = yield* sql.unsafe(`select from ${name} limit 1`)
        if (rows.length === 0) {
          yield* sql.unsafe(`drop table ${name}`)
          yield* sql`delete from outbox_emptied_leaf where name = ${name}`
        }
        return rows.length === 0
      })
    )
  })

/** Answers false when another transaction holds the lock, or another process did the same at the same time. */
const orLater = <R>(effect: Effect.Effect<boolean, SqlError.SqlError, R>): Effect.Effect<boolean, never, R> =>
  Effect.catch(effect, (error) =>
    Effect.as(Effect.logDebug("outbox partition left for later").pipe(Effect.annotateLogs({ error })), false)
  )

/** How long `ensure` and `retire` may take together, in milliseconds. */
const maintainMillis = 60_000

/** Runs both every minute, in every process with a store, so that creates never depend on a running relay. */
export const maintain = (retentionMillis: number) =>
  Client.within(Effect.andThen(ensure, retire(retentionMillis)), maintainMillis).pipe(
    Effect.catch((error) =>
      Effect.logWarning("the outbox's partitions are not maintained").pipe(Effect.annotateLogs({ error }))
    ),
    Effect.repeat(Schedule.spaced("1 minute"))
  )
