/** A new database on the Postgres of this run, for a test file that wants the schema to itself. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"

/** @param server `inject("postgresUrl")` */
export const freshDatabase = async (server: string): Promise<Redacted.Redacted> => {
  const name = `test_${randomUUID().replaceAll("-", "")}`
  const url = new URL(server)
  await Effect.runPromise(
    Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(`create database ${name}`)).pipe(
      Effect.provide(PgClient.layer({ url: Redacted.make(url.href), maxConnections: 1 }))
    )
  )
  url.pathname = `/${name}`
  return Redacted.make(url.href)
}
