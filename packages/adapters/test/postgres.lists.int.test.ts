import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, type Timestamp } from "@invoice/core"
import type { ListQuery } from "@invoice/core/ports/InvoiceStore"
import * as Generators from "@invoice/testing/Generators"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { inject } from "vitest"
import { freshDatabase } from "../../../test/infra/database.ts"
import * as Client from "../src/postgres/Client.ts"
import { Migrations, PostgresStore } from "../src/postgres/index.ts"
import * as ListInvoices from "../src/postgres/ListInvoices.ts"

/** A migrated database of its own, and what a test needs to reach it. */
const database = Effect.gen(function* () {
  const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
  const migrate = Effect.scoped(Effect.asVoid(Layer.build(Migrations.layer({ url }))))
  yield* migrate
  // as the store connects, so that a statement gets the plan that it has there
  const client = Client.layer({ url, maxConnections: 1 }, "test", "none", { plan_cache_mode: "force_generic_plan" })
  return { url, migrate, client }
})

const first = { customerId: "00000000-0000-4000-8000-00000000000a", currency: "GBP", status: "Rejected" } as const
const other = { customerId: "00000000-0000-4000-8000-00000000000c", currency: "USD", status: "Approved" } as const

/** Every second invoice is `other`; of the rest those of the first half of the time are `first`. */
const fill = `
insert into invoice (id, customer_id, currency, status, amount, due_date, notes, stored_at)
select gen_random_uuid(), customer::uuid, currency, status, 1, due || '-01-01T00:00:00.000000000Z', '',
  timestamptz '2025-01-01Z' + n * interval '1 minute'
from generate_series(1, 100000) n
join (values (0, '${other.customerId}', 'USD', 'Approved', '2031'), (1, '${first.customerId}', 'GBP', 'Rejected', '2032'),
    (2, '00000000-0000-4000-8000-00000000000b', 'EUR', 'Pending', '2033')) kind (kind, customer, currency, status, due)
  on kind.kind = case when n % 2 = 0 then 0 when n <= 50000 then 1 else 2 end
order by n`

const time = (text: string) => text as Timestamp.Timestamp

/** Each filter as `first` and as `other` meets it. */
const filters: Readonly<Record<string, readonly [first: Partial<ListQuery>, other: Partial<ListQuery>]>> = {
  customer: [{ customerId: first.customerId }, { customerId: other.customerId }],
  status: [{ status: first.status }, { status: other.status }],
  currency: [{ currency: first.currency }, { currency: other.currency }],
  due: [
    { dueAfter: time("2032-01-01T00:00:00Z"), dueBefore: time("2032-06-01T00:00:00Z") },
    { dueBefore: time("2032-01-01T00:00:00Z") }
  ],
  // `first` was stored before the second half
  stored: [{ storedAfter: time("2025-02-05T00:00:00Z") }, { storedAfter: time("2025-02-05T00:00:00Z") }]
}

const pairs = Object.keys(filters).flatMap((one, index) =>
  Object.keys(filters)
    .slice(index + 1)
    .map((two) => [one, two] as const)
)

/** How many pages of 8 kB a list looks at. */
const pagesRead = Effect.fnUntraced(function* (query: ListQuery) {
  const sql = yield* SqlClient.SqlClient
  const { text, values } = ListInvoices.statementOf(query)
  const [row] = yield* sql.unsafe<{ "QUERY PLAN": string }>(`explain (analyze, buffers, format json) ${text}`, values)
  const plans = row?.["QUERY PLAN"]
  const [{ Plan }] = typeof plans === "string" ? JSON.parse(plans) : plans
  return { pages: Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"], found: Plan["Actual Rows"] }
})

describe("the lists of Postgres", () => {
  it.live(
    "read little for every filter and every pair of filters, also when nothing meets both",
    () =>
      Effect.gen(function* () {
        const { client } = yield* database
        yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql.unsafe(fill)
          yield* sql.unsafe("vacuum analyze invoice")
          const [whole] = yield* sql.unsafe<{ pages: number }>(
            "select (pg_relation_size('invoice') / 8192)::int as pages"
          )
          assert.isAbove(whole?.pages ?? 0, 500)
          const most = 400
          for (const [name, [query]] of Object.entries(filters)) {
            const { found, pages } = yield* pagesRead({ ...query, limit: 10 })
            assert.strictEqual(found, 10, name)
            assert.isAtMost(pages, most, name)
          }
          for (const query of [
            { currency: "XAU" },
            { customerId: crypto.randomUUID() },
            { dueAfter: time("2040-01-01T00:00:00Z") }
          ]) {
            assert.isAtMost((yield* pagesRead({ ...query, limit: 10 })).pages, most, JSON.stringify(query))
          }
          for (const [one, two] of pairs) {
            const both = { ...filters[one]?.[0], ...filters[two]?.[1], limit: 10 }
            const { found, pages } = yield* pagesRead(both)
            assert.strictEqual(found, 0, `${one} and ${two}`)
            assert.isAtMost(pages, most, `${one} and ${two}`)
          }
        }).pipe(Effect.provide(client))
      }),
    60_000
  )

  it.live(
    "get their indexes while invoices are created, and get anew what an interrupted build left behind",
    () =>
      Effect.gen(function* () {
        const { client, migrate, url } = yield* database
        const writer = yield* Effect.forkChild(
          Effect.gen(function* () {
            const sql = yield* PgClient.PgClient
            // a table that is too large to lock writers out of
            yield* sql.unsafe(`insert into invoice (id, customer_id, currency, amount, notes)
              select gen_random_uuid(), gen_random_uuid(), 'USD', 1, (select string_agg(md5(n || ' ' || k), '') from generate_series(1, 55) k) from generate_series(1, 20000) n`)
            yield* sql.unsafe("drop index invoice_list")
            yield* sql.unsafe(
              "update pg_index set indisvalid = false where indexrelid = 'invoice_list_stored'::regclass"
            )
          }).pipe(Effect.provide(client))
        )
        yield* Fiber.join(writer)
        const release = yield* Deferred.make<void>()
        const open = yield* Deferred.make<void>()
        // an open transaction that has written makes each kind of build wait
        const transaction = yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql.withTransaction(
            Effect.gen(function* () {
              yield* sql.unsafe(
                "insert into invoice (id, customer_id, currency, amount, notes) values (gen_random_uuid(), gen_random_uuid(), 'USD', 1, '')"
              )
              yield* Deferred.succeed(open, undefined)
              yield* Deferred.await(release)
            })
          )
        }).pipe(Effect.provide(client), Effect.forkChild)
        yield* Deferred.await(open)
        const migration = yield* Effect.forkChild(migrate)
        const waits = Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql.unsafe(
            "select from pg_stat_activity where query like 'create index%' and wait_event_type = 'Lock' and datname = current_database()"
          )
        ).pipe(Effect.provide(client))
        yield* Effect.repeat(waits, { until: (rows) => rows.length > 0 })
        yield* Effect.flatMap(InvoiceStore, (store) => store.create(Generators.invoice())).pipe(
          Effect.provide(PostgresStore.layer({ url, maxConnections: 1 }))
        )
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(transaction)
        yield* Fiber.join(migration)
        const [indexes] = yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql.unsafe<{
            valid: bigint
          }>(`select count(*) as valid from pg_index i join pg_class c on c.oid = i.indexrelid
            where c.relname like 'invoice_list%' and i.indisvalid`)
        ).pipe(Effect.provide(client))
        assert.strictEqual(Number(indexes?.valid), 3)
      }),
    60_000
  )
})
