/** Transactions that have an id and stay open, each on a connection of its own. */
import { PgClient } from "@effect/sql-pg"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql"

export interface OpenTransactions {
  /** Rolls them back. */
  readonly end: () => Promise<void>
}

/** Resolves when all of them have their id. */
export const begin = async (url: string, count: number): Promise<OpenTransactions> => {
  const runtime = ManagedRuntime.make(PgClient.layer({ url: Redacted.make(url), maxConnections: Math.max(1, count) }))
  const stop = new AbortController()
  const one = (begun: () => void) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql.withTransaction(
        Effect.andThen(
          sql.unsafe("select pg_current_xact_id()::text"),
          Effect.andThen(Effect.sync(begun), Effect.never)
        )
      )
    )
  const ended: Array<Promise<unknown>> = []
  await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<void>((resolve, reject) => {
          // the abort in `end` ends it
          ended.push(runtime.runPromise(one(resolve), { signal: stop.signal }).catch(reject))
        })
    )
  )
  return {
    end: async () => {
      stop.abort()
      await Promise.all(ended)
      await runtime.dispose()
    }
  }
}
