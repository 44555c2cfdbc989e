/** Statements as promises, for the parts of this suite that are independent of the product. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, ManagedRuntime, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"

export type Row = Readonly<Record<string, unknown>>
type Parameters = ReadonlyArray<string | number | bigint | boolean | null>

/** One connection, kept for as long as a transaction of its own needs it. */
export interface Session {
  readonly query: (text: string, parameters?: Parameters) => Promise<ReadonlyArray<Row>>
  /** Gives the connection back; the pool rolls back a transaction that is open on it. */
  readonly release: () => Promise<void>
}

export interface Sql {
  readonly query: (text: string, parameters?: Parameters) => Promise<ReadonlyArray<Row>>
  readonly session: () => Promise<Session>
  readonly close: () => Promise<void>
}

/** The messages of an error and of its causes. */
export const reasonOf = (error: unknown): string => {
  const texts: Array<string> = []
  for (let at: unknown = error; at instanceof Error && texts.length < 4; at = at.cause) texts.push(at.message)
  return [...new Set(texts)].join(": ")
}

export const connect = (url: string, connections: number, applicationName = "faults"): Sql => {
  const runtime = ManagedRuntime.make(
    PgClient.layer({ url: Redacted.make(url), maxConnections: connections, applicationName })
  )
  // closing the pool would wait until every session has given its connection back
  const open = new Set<Scope.Closeable>()
  return {
    query: (text, parameters = []) =>
      runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(text, parameters))),
    session: async () => {
      const scope = await runtime.runPromise(Scope.make())
      open.add(scope)
      const connection = await runtime.runPromise(
        Effect.flatMap(SqlClient.SqlClient, (sql) => Scope.provide(sql.reserve, scope))
      )
      return {
        query: (text, parameters = []) => runtime.runPromise(connection.executeUnprepared(text, parameters, undefined)),
        release: () => {
          open.delete(scope)
          return runtime.runPromise(Scope.close(scope, Exit.void))
        }
      }
    },
    close: async () => {
      await Promise.all([...open].map((scope) => runtime.runPromise(Scope.close(scope, Exit.void))))
      await runtime.dispose()
    }
  }
}
