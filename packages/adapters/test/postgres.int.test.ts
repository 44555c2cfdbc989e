import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import * as PostgresSuites from "./PostgresSuites.ts"

const url = await freshDatabase(inject("postgresUrl"))

// two programs that start at once must not trip over each other's migrations
await Effect.runPromise(
  Effect.all(
    [1, 2, 3].map(() => Effect.scoped(Layer.build(Migrations.layer({ url })))),
    { concurrency: 3 }
  )
)

const layer = Layer.mergeAll(PostgresStore.layer({ url, maxConnections: 4 }), PostgresOutbox.layer({ url }))

InvoiceStoreContract.suite("the Postgres store", layer, PostgresSuites.features, PostgresSuites.options(url))
OutboxContract.suite("the Postgres outbox", layer, PostgresSuites.features, PostgresSuites.options(url))
