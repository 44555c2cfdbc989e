import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"

const freshDatabase = async (): Promise<Redacted.Redacted> => {
  const name = `test_${randomUUID().replaceAll("-", "")}`
  const url = new URL(inject("postgresUrl"))
  await Effect.runPromise(
    Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(`create database ${name}`)).pipe(
      Effect.provide(PgClient.layer({ url: Redacted.make(url.href), maxConnections: 1 }))
    )
  )
  url.pathname = `/${name}`
  return Redacted.make(url.href)
}

const url = await freshDatabase()

// two programs that start at once must not trip over each other's migrations
await Effect.runPromise(
  Effect.all(
    [1, 2, 3].map(() => Effect.scoped(Layer.build(Migrations.layer({ url })))),
    { concurrency: 3 }
  )
)

const layer = Layer.mergeAll(PostgresStore.layer({ url, maxConnections: 4 }), PostgresOutbox.layer({ url }))

InvoiceStoreContract.suite("the Postgres store", layer)
OutboxContract.suite("the Postgres outbox", layer)
