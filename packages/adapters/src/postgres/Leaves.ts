/** The leaves (partitions) of the outbox, each of ten million events, made ahead of the sequence. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const leafSize = 10_000_000
const ahead = 2

/** Any number, but the same in every process. */
const lockKey = 4_021_001

/**
 * Makes the leaves that the sequence will need next. A leaf is made beside the outbox and attached: that doesn't lock
 * writers out, as `create table … partition of` would.
 */
export const ensure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`select pg_advisory_xact_lock(${lockKey})`
      const [sequence] = yield* sql<{ last_value: bigint }>`select last_value from outbox_seq`
      const current = Math.floor(Number(sequence?.last_value ?? 0) / leafSize)
      const existing = yield* sql<{ name: string }>`
        select inhrelid::regclass::text as name from pg_inherits where inhparent = 'outbox_event'::regclass`
      const names = new Set(existing.map(({ name }) => name))
      for (let leaf = current; leaf <= current + ahead; leaf++) {
        const name = `outbox_event_${leaf}`
        if (!names.has(name)) {
          // events are never updated or deleted, so there is nothing for autovacuum to do
          yield* sql.unsafe(`create table ${name} (like outbox_event including defaults including constraints)
            with (autovacuum_enabled = off)`)
          yield* sql.unsafe(`alter table outbox_event attach partition ${name}
            for values from (${leaf * leafSize}) to (${(leaf + 1) * leafSize})`)
        }
      }
    })
  )
})
