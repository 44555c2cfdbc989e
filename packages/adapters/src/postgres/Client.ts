/** How this adapter connects to Postgres, and how long it waits for it. */
import { PgClient } from "@effect/sql-pg"
import { Deadline } from "@invoice/core"
import { type Effect, Layer, type Redacted } from "effect"
import { type SqlClient, SqlError } from "effect/sql"

export interface Options {
  /** `postgres://user:password@host:port/database` */
  readonly url: Redacted.Redacted
  /** Maximum number of connections in the pool; default 8. */
  readonly maxConnections?: number
  /**
   * Deadline of a request or a statement in milliseconds, including the wait for a connection and for statements that
   * go first; default 5,000. A read of the outbox may take six times as long, since Postgres sorts a long backlog before
   * it answers the first page.
   */
  readonly timeoutMillis?: number
}

export const timeoutMillisOf = ({ timeoutMillis }: Options): number => timeoutMillis ?? 5_000

/** The deadline of a read of the outbox. */
export const readMillisOf = (options: Options): number => 6 * timeoutMillisOf(options)

/** Runs a statement; with no answer within `millis` (default: the options' timeout) it fails like a lost connection. */
export type Run = <Row extends object>(
  statement: string,
  parameters: ReadonlyArray<unknown>,
  millis?: number
) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>

export const timedOut = (millis: number): SqlError.SqlError => {
  const message = `Postgres did not answer within ${millis} ms`
  return new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation: "execute" })
  })
}

export const run =
  (sql: SqlClient.SqlClient, timeoutMillis: number): Run =>
  <Row extends object>(statement: string, parameters: ReadonlyArray<unknown>, millis = timeoutMillis) =>
    within(sql.unsafe<Row>(statement, parameters), millis)

/** The same deadline for an effect that is more than one statement. */
export const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<A, E | SqlError.SqlError, R> => Deadline.within(effect, { millis, orElse: () => timedOut(millis) })

/**
 * A pool of its own. Every connection sets what correctness depends on, since the defaults of a database or a role may
 * differ: each statement sees what is committed when it begins, a commit returns when it is durable, and this code
 * decides how long statements and locks may take.
 *
 * Sequential scans are off: a generic plan that Postgres cached while a table was empty would scan that table for ever,
 * at 300 verdicts a second instead of 20,000, and no statement here needs a scan. Bitmap scans are off: Postgres can't
 * estimate how much of a partition a snapshot sees, and would fetch and sort a whole backlog for every page, 345 ms
 * instead of 0.5.
 *
 * @param limits `deadlines`: Postgres itself ends a statement when no caller waits for it any longer, and a wait for a
 * lock a little before its caller's deadline, so that a held lock can be distinguished from a server that does not
 * answer; `none`: no limits, for an operator's commands, which may take long
 */
export const layer = (
  options: Options,
  applicationName: string,
  limits: "deadlines" | "none",
  parameters: Readonly<Record<string, string>> = {}
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.fresh(
    PgClient.layer({
      url: options.url,
      maxConnections: options.maxConnections ?? 8,
      applicationName,
      connectTimeout: "5 seconds",
      keepAlive: "10 seconds",
      startupParameters: {
        default_transaction_isolation: "read committed",
        synchronous_commit: "on",
        statement_timeout: limits === "none" ? "0" : String(readMillisOf(options)),
        lock_timeout: limits === "none" ? "0" : String(Math.floor(0.8 * timeoutMillisOf(options))),
        idle_in_transaction_session_timeout: "60000",
        enable_seqscan: "off",
        enable_bitmapscan: "off",
        max_parallel_workers_per_gather: "0",
        jit: "off",
        ...parameters
      }
    })
  )
