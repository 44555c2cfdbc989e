/**
 * The leaves (partitions) of the outbox: made ahead of the sequence, emptied when all of their events are published and
 * their retention is over, dropped much later. Events are never updated or deleted, so no row of a leaf ever dies.
 */
import { Effect, Schedule } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"
import * as Client from "./Client.ts"

const ahead = 2

export const lockKey = AdvisoryLocks.leaves

/** How long a statement may wait for a lock that writers would queue behind. */
const lockMillis = 100

/**
 * Makes the leaves that the sequence will need next. A leaf is made beside the outbox and attached: that doesn't lock
 * writers out, as `create table … partition of` would.
 */
export const ensure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`select pg_advisory_xact_lock(${lockKey})`
      const [state] = yield* sql<{ last_value: bigint; leaf_size: bigint }>`
        select last_value, leaf_size from outbox_seq, outbox_state`
      const size = Number(state?.leaf_size ?? 10_000_000)
      const current = Math.floor(Number(state?.last_value ?? 0) / size)
      const names = new Set((yield* attached).map(({ name }) => name))
      for (let leaf = current; leaf <= current + ahead; leaf++) {
        const name = `outbox_event_${leaf}`
        if (!names.has(name)) {
          // there is nothing for autovacuum to do
          yield* sql.unsafe(`create table ${name} (like outbox_event including defaults including constraints)
            with (autovacuum_enabled = off)`)
          yield* sql.unsafe(`alter table outbox_event attach partition ${name}
            for values from (${leaf * size}) to (${(leaf + 1) * size})`)
        }
      }
    })
  )
})

interface Leaf {
  readonly name: string
  /** The number after its last one. */
  readonly until: bigint
}

/** Oldest first. */
const attached = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<Leaf>`
    select c.relname as name,
      (regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \\('(\\d+)'\\)$$))[1]::bigint as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'outbox_event'::regclass order by until`
)

/**
 * Whether every event of a leaf is behind every lane's position: below its snapshot's xmin all transactions are seen.
 * A transaction that is open anywhere holds that xmin, so this waits for it; publishing doesn't.
 */
const passed = (name: string) => `
  select (select max(xid) from ${name})::text as xid
  where coalesce((select max(xid) from ${name}) < (select min(pg_snapshot_xmin(lo)) from outbox_cursor), false)`

/**
 * Empties one leaf. Writers must never wait for it, so the lock is tried for a moment only. Under the lock nobody writes
 * to the leaf, so it is asked again whether everything is passed: a late writer may have committed meanwhile. One that
 * is still at it holds a lock of its own, and the leaf stays.
 */
const empty = (leaf: Leaf) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(`set local lock_timeout = ${lockMillis}`)
        yield* sql.unsafe(`lock table ${leaf.name} in access exclusive mode`)
        const [now] = yield* sql.unsafe<{ xid: string }>(passed(leaf.name))
        if (now === undefined) {
          return false
        }
        yield* sql.unsafe(`truncate ${leaf.name}`)
        yield* sql`update outbox_state set emptied_seq = greatest(emptied_seq, ${leaf.until}),
          emptied_xid = greatest(emptied_xid, ${now.xid}::text::xid8)`
        yield* sql`insert into outbox_emptied_leaf (name) values (${leaf.name})
          on conflict (name) do update set at = excluded.at`
        return true
      })
    )
  })

/**
 * Empties the leaves behind the sequence whose last event is older than the retention, and drops those that have been
 * empty for as long again. One process at a time; what can't be locked at once is left for the next time.
 */
export const retire = (retentionMillis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [state] = yield* sql<{ last_value: bigint }>`select last_value from outbox_seq`
    const full = (yield* attached).filter(({ until }) => until <= (state?.last_value ?? 0n))
    for (const leaf of full) {
      const [old] = yield* sql.unsafe<{ old: boolean }>(
        `select at < clock_timestamp() - $1::bigint * interval '1 ms' as old from ${leaf.name} order by seq desc limit 1`,
        [BigInt(retentionMillis)]
      )
      if (old?.old === true && (yield* sql.unsafe(passed(leaf.name))).length > 0) {
        const emptied = yield* giveWay(empty(leaf))
        if (emptied) {
          yield* Effect.logInfo("outbox leaf emptied").pipe(Effect.annotateLogs({ leaf: leaf.name }))
        }
      }
    }
    const gone = yield* sql<{ name: string }>`select name from outbox_emptied_leaf
      where at < clock_timestamp() - ${BigInt(retentionMillis)}::bigint * interval '1 ms'`
    for (const { name } of gone.filter(({ name }) => full.some((leaf) => leaf.name === name))) {
      yield* giveWay(drop(name))
    }
  })

/** A leaf that a very late writer has come back to is not dropped. */
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

/** False when somebody else holds the lock, or another process did the same at the same time. */
const giveWay = <R>(effect: Effect.Effect<boolean, SqlError.SqlError, R>): Effect.Effect<boolean, never, R> =>
  Effect.catch(effect, (error) =>
    Effect.as(Effect.logDebug("outbox leaf left for later").pipe(Effect.annotateLogs({ error })), false)
  )

/** How long both may take together, in milliseconds. */
const maintainMillis = 60_000

/** Both, every minute. Done by whoever has a store: a relay that is away must never stop the creates. */
export const maintain = (retentionMillis: number) =>
  Client.within(Effect.andThen(ensure, retire(retentionMillis)), maintainMillis).pipe(
    Effect.catch((error) => Effect.logWarning("outbox leaves not looked after").pipe(Effect.annotateLogs({ error }))),
    Effect.repeat(Schedule.spaced("1 minute"))
  )
