/** How this adapter connects to Postgres, and how it hands arrays to a statement. */
import { PgClient, PgTypes } from "@effect/sql-pg"
import { Layer, type Redacted, Result } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

export interface Options {
  /** `postgres://user:password@host:port/database` */
  readonly url: Redacted.Redacted
  /** Most connections of the pool, default 8. */
  readonly maxConnections?: number
}

/**
 * A pool of its own.
 *
 * A generic plan that Postgres cached while a table was empty scans it for ever after, at 300 verdicts a second instead
 * of 20,000: no statement here ever wants a scan, so scans are switched off. Nor can Postgres guess how much of a leaf a
 * snapshot sees: from a bitmap it would fetch and sort all of a backlog for every page of it, 345 ms instead of 0.5.
 */
export const layer = (
  options: Options,
  applicationName: string,
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
