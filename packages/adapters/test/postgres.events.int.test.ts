/** Events that are in an outbox since before the values on `new_invoice` were an id and nothing else. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { InvoiceStore, Outbox, OutboxEvent } from "@invoice/core"
import { Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"

const insert = `
insert into outbox_event (lane, topic, key, ver, type, payload, headers) values (0, $1, $2, $3::int8, $4, $5::bytea, '{}')`

const violation = { code: "BR-CO-10", severity: "error", path: "/amount", message: "the sum is another" } as const

describe("events of an earlier version", () => {
  it.live("are shown as the changes they are, and sent with today's values and headers", () =>
    Effect.gen(function* () {
      const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* InvoiceStore
        const outbox = yield* Outbox
        const [approved, rejected] = [randomUUID(), randomUUID()]
        const put = (topic: string, key: string, version: number, type: string, payload: object) =>
          sql.unsafe(insert, [topic, key, BigInt(version), type, new TextEncoder().encode(JSON.stringify(payload))])
        for (const id of [approved, rejected]) {
          yield* put("new_invoice", id, 1, "invoice.created", { id, status: "Pending", version: 1 })
        }
        const approval = { id: approved, status: "Approved", version: 2, violations: [] }
        yield* put("invoice_approved", approved, 2, "invoice.approved", approval)
        yield* put("orders", "7", 1, "order.placed", { id: "7", version: 1 })
        const rejection = { id: rejected, status: "Rejected", version: 2, violations: [violation] }
        yield* put("invoice_rejected", rejected, 2, "invoice.rejected", rejection)

        const { changes } = yield* store.changes({ limit: 100 })
        assert.deepStrictEqual(
          changes.map(
            ({ id, status, version, violations }): ReadonlyArray<unknown> => [id, status, version, violations]
          ),
          [
            [approved, "Pending", 1, []],
            [rejected, "Pending", 1, []],
            [approved, "Approved", 2, []],
            [rejected, "Rejected", 2, [violation]]
          ]
        )

        const acquired = yield* outbox.acquire({ lane: 0, owner: "test", ttlMillis: 60_000 })
        const lease = Option.getOrThrow(acquired)
        const { events } = yield* outbox.read({ lease, position: lease.position, limit: 100 })
        const messages = events.map(OutboxEvent.toMessage)
        assert.deepStrictEqual(
          messages.map(({ headers, value }) => [
            new TextDecoder().decode(value),
            headers["ce_status"],
            headers["ce_version"]
          ]),
          [
            [`{"id":"${approved}"}`, "Pending", "1"],
            [`{"id":"${rejected}"}`, "Pending", "1"],
            [JSON.stringify(approval), "Approved", "2"],
            ['{"id":"7","version":1}', undefined, "1"],
            [JSON.stringify(rejection), "Rejected", "2"]
          ]
        )
      }).pipe(
        Effect.provide(
          Layer.mergeAll(PgClient.layer({ url }), PostgresStore.layer({ url }), PostgresOutbox.layer({ url }))
        )
      )
    })
  )
})
