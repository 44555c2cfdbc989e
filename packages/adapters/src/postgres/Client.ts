/** How this adapter connects to Postgres, how long it waits for it, and how it hands arrays to a statement. */
import { PgClient, PgTypes } from "@effect/sql-pg"
import { Deadline } from "@invoice/core"
import { type Effect, Layer, type Redacted, Result } from "effect"
import { type SqlClient, SqlError } from "effect/sql"

export interface Options {
  /** `postgres://user:password@host:port/database` */
  readonly url: Redacted.Redacted
  /** Most connections of the pool, default 8. */
  readonly maxConnections?: number
  /**
   * How long a statement may take, in milliseconds, the wait for a connection included; default 5,000. Reading the outbox may
   * take six times as long: a page of a long backlog is put in order first.
   */
  readonly timeoutMillis?: number
}

export const timeoutMillisOf = ({ timeoutMillis }: Options): number => timeoutMillis ?? 5_000

/** The same for reading the outbox. */
export const readMillisOf = (options: Options): number => 6 * timeoutMillisOf(options)

/** Runs a statement; one that is not answered within `millis` (default the options' timeout) fails as a lost connection does. */
export type Run = <Row extends object>(
  statement: string,
  parameters: ReadonlyArray<unknown>,
  millis?: number
) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>

const lateAfter = (millis: number): SqlError.SqlError => {
  const message = `Postgres did not answer within ${millis} ms`
  return new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation: "execute" })
  })
}

export const run =
  (sql: SqlClient.SqlClient, timeoutMillis: number): Run =>
  <Row extends object>(statement: string, parameters: ReadonlyArray<unknown>, millis = timeoutMillis) =>
    within(sql.unsafe<Row>(statement, parameters), millis)

/** The same for what is more than a statement. */
export const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<A, E | SqlError.SqlError, R> => Deadline.within(effect, { millis, orElse: () => lateAfter(millis) })

/**
 * A pool of its own. What correctness rests on is said for every connection, since the defaults of a database or a role may
 * be others: each statement sees what is committed when it begins, a commit is answered when it is durable, and how long
 * statements and locks may take is this code's to say.
 *
 * A generic plan that Postgres cached while a table was empty scans it for ever after, at 300 verdicts a second instead
 * of 20,000: no statement here ever wants a scan, so scans are switched off. Nor can Postgres guess how much of a leaf a
 * snapshot sees: from a bitmap it would fetch and sort all of a backlog for every page of it, 345 ms instead of 0.5.
 *
 * @param limits `deadlines`: Postgres itself ends what the caller no longer waits for, and a wait for a lock a little before,
 * so that it can be told from a server that does not answer; `none`: for an operator's commands, which may take long
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

const array =
  (oid: number) =>
  (values: ReadonlyArray<unknown>): PgTypes.Parameter =>
    Result.getOrThrow(PgTypes.array(values, oid))

export const uuids = array(PgTypes.OID.uuid)
export const texts = array(PgTypes.OID.text)
export const numerics = array(PgTypes.OID.numeric)
export const integers = array(PgTypes.OID.int4)
export const bigints = array(PgTypes.OID.int8)
export const byteas = array(PgTypes.OID.bytea)
