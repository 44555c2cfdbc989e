/** `Outbox` on Postgres: leases and positions are rows of `outbox_cursor`, events are read by `SnapshotWindow`. */
import { Outbox } from "@invoice/core"
import { Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Client from "./Client.ts"
import * as OutboxEvents from "./OutboxEvents.ts"
import * as OutboxLag from "./OutboxLag.ts"
import * as OutboxLeases from "./OutboxLeases.ts"
import * as OutboxParking from "./OutboxParking.ts"
import * as OutboxQuery from "./OutboxQuery.ts"

/** By name, so that a simulator of Postgres can run them. */
export const statements = {
  ...OutboxLeases.statements,
  ...OutboxEvents.statements,
  ...OutboxParking.statements,
  ...OutboxLag.statements
} as const

/**
 * @param run runs statements within a deadline
 * @param readMillis the deadline for reading, in milliseconds
 */
export const make = (run: Client.Run, readMillis: number): Outbox["Service"] => {
  const query = OutboxQuery.make(run)
  return Outbox.of({
    ...OutboxLeases.make(query),
    ...OutboxEvents.make(query, readMillis),
    ...OutboxParking.make(query),
    status: OutboxLag.status(query, readMillis)
  })
}

/** The outbox on connections of its own, so that a relay never waits behind requests. */
export const layer = (options: Client.Options): Layer.Layer<Outbox, SqlError.SqlError> =>
  Layer.effect(
    Outbox,
    Effect.map(SqlClient.SqlClient, (sql) =>
      make(Client.run(sql, Client.timeoutMillisOf(options)), Client.readMillisOf(options))
    )
  ).pipe(
    Layer.provide(
      Client.layer({ ...options, maxConnections: 2 }, "invoice-relay", "deadlines", {
        plan_cache_mode: "force_custom_plan"
      })
    )
  )
