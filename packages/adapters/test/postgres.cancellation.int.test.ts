/** What nobody waits for any more must not keep Postgres busy: a cancelled call cancels its query. */
import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { InvoiceStore } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Fiber, Layer, Schedule } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { InvoiceService } from "../src/connect/gen/invoice/v1/invoice_service_pb.ts"
import { InvoiceStoreService } from "../src/connect/gen/invoice/v1/invoice_store_service_pb.ts"
import { grpcTransport } from "../src/connect/node.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import { serve } from "./RpcServer.ts"

const url = await freshDatabase(inject("postgresUrl"))
await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url }))))

const store = Layer.mergeAll(PostgresStore.layer({ url, maxConnections: 4 }), PostgresOutbox.layer({ url }))
const own = PgClient.layer({ url, maxConnections: 2 })

/** Statements of the store on invoices that Postgres is working on. */
const working = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  // asked within a transaction, Postgres would answer from what it saw when it was asked first
  yield* sql`select pg_stat_clear_snapshot()`
  const rows = yield* sql<{ query: string }>`select query from pg_stat_activity
    where datname = current_database() and application_name = 'invoice-store' and state = 'active'
      and query ~ 'invoice'`
  return rows.map(({ query }) => query)
})

const until = (condition: (queries: ReadonlyArray<string>) => boolean) =>
  Effect.flatMap(working, (queries) => (condition(queries) ? Effect.void : Effect.fail(queries))).pipe(
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "10 seconds" })))
  )

/** Runs with the invoices locked, so that every statement on them waits. */
const locked = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    sql.withTransaction(Effect.andThen(sql`lock table invoice in access exclusive mode`, effect))
  )

const invoice = Generators.invoice()

describe("a cancelled operation", () => {
  it.live.each(["get", "create", "getMany", "list", "history", "decide"] as const)("%s: its query is gone", (name) =>
    Effect.gen(function* () {
      const { create, decide, get, getMany, history, list } = yield* InvoiceStore
      const operation: Effect.Effect<unknown, unknown> = {
        get: get(invoice.id),
        create: create(invoice),
        getMany: getMany([invoice.id]),
        list: list({ limit: 10 }),
        history: history(invoice.id),
        decide: decide([{ id: invoice.id, version: 1, verdict: { status: "Approved", violations: [], by: "test" } }])
      }[name]
      // history reads a table of its own
      yield* Effect.flatMap(PgClient.PgClient, (sql) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`lock table invoice, invoice_history in access exclusive mode`
            const fiber = yield* Effect.forkChild(operation)
            yield* until((queries) => queries.length === 1)
            yield* Fiber.interrupt(fiber)
            yield* until((queries) => queries.length === 0)
          })
        )
      )
    }).pipe(Effect.provide([store, own]))
  )

  it.live("get: its query stays for a caller that still waits for the same statement", () =>
    Effect.gen(function* () {
      const { get } = yield* InvoiceStore
      const staying = yield* locked(
        Effect.gen(function* () {
          const leaving = yield* Effect.forkChild(get(invoice.id))
          const staying = yield* Effect.forkDetach(Effect.flip(get(invoice.id)))
          yield* until((queries) => queries.length === 1)
          yield* Fiber.interrupt(leaving)
          return staying
        })
      )
      assert.strictEqual((yield* Fiber.join(staying))._tag, "InvoiceNotFound")
    }).pipe(Effect.provide([store, own]))
  )
})

describe("a call over RPC", () => {
  it.live("whose deadline passes is DEADLINE_EXCEEDED, and its query is gone", () =>
    Effect.gen(function* () {
      const transport = yield* Effect.flatMap(serve, (baseUrl) => grpcTransport({ baseUrl }))
      const client = createClient(InvoiceService, transport)
      yield* locked(
        Effect.gen(function* () {
          const error = yield* Effect.promise(() =>
            client.get({ id: invoice.id }, { timeoutMs: 300 }).then(
              () => undefined,
              (error: unknown) => ConnectError.from(error)
            )
          )
          assert.strictEqual(error?.code, Code.DeadlineExceeded)
          yield* until((queries) => queries.length === 0)
        })
      )
    }).pipe(Effect.provide([store, own]))
  )

  it.live("whose client leaves is cancelled, and its query is gone", () =>
    Effect.gen(function* () {
      const transport = yield* Effect.flatMap(serve, (baseUrl) => grpcTransport({ baseUrl }))
      const client = createClient(InvoiceStoreService, transport)
      yield* locked(
        Effect.gen(function* () {
          const controller = new AbortController()
          const answer = client.getMany({ ids: [invoice.id] }, { signal: controller.signal }).then(
            () => undefined,
            (error: unknown) => ConnectError.from(error)
          )
          yield* until((queries) => queries.length === 1)
          controller.abort()
          assert.strictEqual((yield* Effect.promise(() => answer))?.code, Code.Canceled)
          yield* until((queries) => queries.length === 0)
        })
      )
    }).pipe(Effect.provide([store, own]))
  )
})
