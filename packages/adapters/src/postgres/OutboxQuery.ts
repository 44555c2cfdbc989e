/** Running statements for the outbox. */
import { LeaseLost, OutboxUnavailable } from "@invoice/core"
import type { Lease } from "@invoice/core/ports/Outbox"
import { Effect } from "effect"
import type * as Client from "./Client.ts"

export interface OutboxQuery {
  /** Answers the rows. `millis` replaces the default deadline. */
  readonly run: <Row extends object>(
    statement: string,
    parameters: ReadonlyArray<unknown>,
    millis?: number
  ) => Effect.Effect<ReadonlyArray<Row>, OutboxUnavailable>
  /** Runs a statement whose first parameters are the lease's lane, epoch and owner. No row: the lease is lost. */
  readonly fenced: (
    lease: Lease,
    statement: string,
    parameters: ReadonlyArray<unknown>
  ) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
}

export const make = (runs: Client.Run): OutboxQuery => {
  const run: OutboxQuery["run"] = (statement, parameters, millis) =>
    Effect.mapError(runs(statement, parameters, millis), (cause) => new OutboxUnavailable({ cause }))
  return {
    run,
    fenced: (lease, statement, parameters) =>
      Effect.flatMap(run(statement, [lease.lane, lease.epoch, lease.owner, ...parameters]), (rows) =>
        rows.length === 0 ? Effect.fail(new LeaseLost({ lane: lease.lane })) : Effect.void
      )
  }
}

/** Whether parameter 1 (lane), 2 (epoch) and 3 (owner) match the lane's lease. */
export const isHolder = "lane = $1 and epoch = $2::text::bigint and owner = $3"

/** Locks the lane's row. A write that joins it does nothing unless epoch and owner are the lane's. */
export const fence = `fence as (select lane from outbox_cursor where ${isHolder} for update)`
