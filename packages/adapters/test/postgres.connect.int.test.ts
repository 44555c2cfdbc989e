import type { Invoice } from "@invoice/core"
import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import { createEach } from "@invoice/testing/ListLaws"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import * as PostgresSuites from "./PostgresSuites.ts"
import { remote } from "./RpcServer.ts"

const url = await freshDatabase(inject("postgresUrl"))
await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url }))))

const store = PostgresStore.layer({ url, maxConnections: 4 })
const layer = remote(Layer.mergeAll(store, PostgresOutbox.layer({ url })))
const options = {
  ...PostgresSuites.options(url),
  // a call for each of thousands of invoices would take most of the time
  createAll: (invoices: ReadonlyArray<Invoice.Invoice>) => Effect.provide(createEach(invoices), store)
}

InvoiceStoreContract.suite("the Postgres store over RPC", layer, PostgresSuites.features, options)
OutboxContract.suite("the Postgres outbox over RPC", layer, PostgresSuites.features, options)
