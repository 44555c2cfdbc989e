/**
 * The numbers of this project's advisory locks. They are one space for a whole database, so two that are the same make
 * those who take them wait for one another. Any number will do, as long as every process uses the same.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Held while the schema is brought up to date. */
export const migrations = 4_021_000

/** Held while partitions of the outbox are made. */
export const partitions = 4_021_001

/** Held while the inbox's tables are made. */
export const inbox = 4_021_002

/** Runs in a transaction that holds the lock, one process at a time. */
export const holding = <A, E, R>(
  lock: number,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError, R | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.andThen(sql`select pg_advisory_xact_lock(${lock})`, effect))
  )
