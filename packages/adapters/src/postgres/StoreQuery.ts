/** Running statements for the store. */
import { StoreUnavailable } from "@invoice/core"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type * as Client from "./Client.ts"
import * as SqlState from "./SqlState.ts"

/** Answers the rows; a failure's kind says if the request may be at fault. `millis` replaces the default deadline. */
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

/** Sorts by id: two statements on the same invoices deadlock unless they lock them in the same order. */
export const byId = (self: { readonly id: string }, that: { readonly id: string }): number =>
  self.id < that.id ? -1 : self.id > that.id ? 1 : 0

/** The first item of each key, in order. */
export const firstOfEach = <A>(items: ReadonlyArray<A>, keyOf: (item: A) => string): ReadonlyMap<string, A> => {
  const firsts = new Map<string, A>()
  for (const item of items) {
    const key = keyOf(item)
    if (!firsts.has(key)) firsts.set(key, item)
  }
  return firsts
}
