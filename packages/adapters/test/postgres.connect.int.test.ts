import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import { remote } from "./RpcServer.ts"

const url = await freshDatabase(inject("postgresUrl"))
await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url }))))

const layer = remote(Layer.mergeAll(PostgresStore.layer({ url, maxConnections: 4 }), PostgresOutbox.layer({ url })))

InvoiceStoreContract.suite("the Postgres store over RPC", layer)
OutboxContract.suite("the Postgres outbox over RPC", layer)
