/** Running statements for the store. */
import { StoreUnavailable } from "@invoice/core"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type * as Client from "./Client.ts"
import * as SqlState from "./SqlState.ts"

/** Answers the rows; a failure says whether it may be the fault of the request. `millis` is another deadline than usual. */
export type StoreQuery = <Row extends object>(
  statement: string,
  parameters: ReadonlyArray<unknown>,
  millis?: number
) => Effect.Effect<ReadonlyArray<Row>, StoreUnavailable>

export const make =
  (run: Client.Run): StoreQuery =>
  <Row extends object>(statement: string, parameters: ReadonlyArray<unknown>, millis?: number) =>
    Effect.mapError(run<Row>(statement, parameters, millis), unavailable)

const unavailable = (error: SqlError.SqlError): StoreUnavailable =>
  new StoreUnavailable({ kind: SqlState.kindOf(error), cause: error })

/** Two statements on one invoice deadlock unless they lock in the same order. */
export const byId = (self: { readonly id: string }, that: { readonly id: string }): number =>
  self.id < that.id ? -1 : self.id > that.id ? 1 : 0
