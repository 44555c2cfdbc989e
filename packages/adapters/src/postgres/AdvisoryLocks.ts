/**
 * The numbers of this project's advisory locks. All advisory locks of a database share one number space, so two locks
 * with the same number block each other. Any number will do, as long as every process uses the same one.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Held while the schema is brought up to date. */
export const migrations = 4_021_000

/** Held while partitions of the outbox are made. */
export const partitions = 4_021_001

/** Held while the inbox's tables are made. */
export const inbox = 4_021_002

/** Held while the indexes of lists are built. */
export const listIndexes = 4_021_003

/** Runs the effect in a transaction that holds the lock, so in one process at a time. */
export const holding = <A, E, R>(
  lock: number,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError, R | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.andThen(sql`select pg_advisory_xact_lock(${lock})`, effect))
  )
