/** Idempotency keys on Postgres: lost answers, transactions that hold a key, many at once, and forgetting. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { type Invoice, InvoiceStore } from "@invoice/core"
import type { CreateOptions, Idempotency } from "@invoice/core/ports/InvoiceStore"
import * as Generators from "@invoice/testing/Generators"
import { Context, Effect, Fiber, Layer, Redacted, Result, Schedule } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import * as IdempotencyKeys from "../src/postgres/IdempotencyKeys.ts"
import { Migrations, PostgresStore } from "../src/postgres/index.ts"
import * as SwallowingProxy from "./SwallowingProxy.ts"

const url = await freshDatabase(inject("postgresUrl"))
await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url }))))

const own = PgClient.layer({ url, maxConnections: 2 })

/** One more store, as in another process. */
const storeAt = (at: Redacted.Redacted) =>
  Effect.map(
    Layer.build(Layer.fresh(PostgresStore.layer({ url: at, maxConnections: 4, timeoutMillis: 2_000 }))),
    (store) => Context.get(store, InvoiceStore)
  )

const newKey = (): Idempotency => ({ key: crypto.randomUUID(), principal: "mary", hash: "a".repeat(64) })

const often = Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))

/** Waits until a create waits for a lock. */
const waiting = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  yield* sql`select pg_stat_clear_snapshot()`
  const rows = yield* sql`select from pg_stat_activity
    where datname = current_database() and application_name = 'invoice-store' and wait_event_type = 'Lock'`
  return yield* rows.length > 0 ? Effect.void : Effect.fail("nothing waits")
}).pipe(Effect.retry(often))

const eventsOf = (invoices: ReadonlyArray<Invoice.Invoice>) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    Effect.map(
      sql<{ key: string }>`select key from outbox_event where ${sql.in(
        "key",
        invoices.map(({ id }) => id)
      )}`,
      (rows) => rows.map(({ key }) => key)
    )
  )

/** Runs while a transaction of somebody else has taken a key. */
const holding = <A, E, R>(idempotency: Idempotency, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    Effect.flip(
      sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into idempotency_key (id, hash, invoice_id)
            values (${IdempotencyKeys.keyOf(idempotency).id}::text::uuid, '', gen_random_uuid())`
          // failing rolls the transaction back
          return yield* Effect.flatMap(effect, Effect.fail)
        })
      )
    )
  )

describe("an idempotency key on Postgres", () => {
  it.live("an answer is lost after the commit: the retry gets it", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const server = new URL(Redacted.value(url))
      const proxy = yield* SwallowingProxy.make(Number(server.port))
      server.hostname = "127.0.0.1"
      server.port = String(proxy.port)
      const store = yield* storeAt(Redacted.make(server.href))
      const [invoice, generated] = [Generators.invoice(), Generators.invoice()]
      const options = { idempotency: newKey() }
      const first = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`lock table invoice_history in access exclusive mode`
          const fiber = yield* Effect.forkChild(Effect.flip(store.create(invoice, options)), { startImmediately: true })
          yield* waiting
          proxy.swallow()
          return fiber
        })
      )
      yield* Effect.flatMap(eventsOf([invoice]), (events) =>
        events.length === 1 ? Effect.void : Effect.fail("not committed")
      ).pipe(Effect.retry(often))
      assert.strictEqual((yield* Fiber.join(first))._tag, "StoreUnavailable")
      proxy.heal()
      const retry = yield* store.create(generated, options).pipe(Effect.retry(often))
      assert.strictEqual(retry.outcome, "Replayed")
      assert.deepStrictEqual(retry.stored, yield* store.get(invoice.id))
      assert.deepStrictEqual(yield* eventsOf([invoice, generated]), [invoice.id])
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live("a key that another transaction has in hand is waited for, and is free when that fails", () =>
    Effect.gen(function* () {
      const store = yield* storeAt(url)
      const options = { idempotency: newKey() }
      const create = yield* holding(
        options.idempotency,
        Effect.gen(function* () {
          const fiber = yield* Effect.forkDetach(store.create(Generators.invoice(), options))
          yield* waiting
          return fiber
        })
      )
      assert.isTrue(Fiber.isFiber(create))
      const { outcome } = yield* Fiber.isFiber(create) ? Fiber.join(create) : Effect.die(create)
      assert.strictEqual(outcome, "Created")
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live("a key that stays in hand: the store is unavailable, and nothing is written", () =>
    Effect.gen(function* () {
      const store = yield* storeAt(url)
      const options = { idempotency: newKey() }
      const invoice = Generators.invoice()
      const error = yield* holding(options.idempotency, Effect.flip(store.create(invoice, options)))
      assert.isTrue("_tag" in error && error._tag === "StoreUnavailable" && error.retryable, String(error))
      assert.deepStrictEqual(yield* eventsOf([invoice]), [])
      assert.strictEqual((yield* store.create(invoice, options)).outcome, "Created")
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live.each([0, 3])("an id that another transaction takes in the middle is a conflict, beside %i others", (others) =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const store = yield* storeAt(url)
      const [taken, later] = [Generators.invoice(), Generators.invoice()]
      const neighbours = Array.from({ length: others }, () => Generators.invoice())
      const options = { idempotency: newKey() }
      const fibers = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into invoice (id, customer_id, currency, amount, notes)
            values (${taken.id}::text::uuid, gen_random_uuid(), 'EUR', 1, 'somebody else''s')`
          const conflict = yield* Effect.forkDetach(Effect.flip(store.create(taken, options)))
          const created = yield* Effect.forEach(neighbours, (invoice) => Effect.forkDetach(store.create(invoice)))
          yield* waiting
          return { conflict, created }
        })
      )
      assert.strictEqual((yield* Fiber.join(fibers.conflict))._tag, "InvoiceConflict")
      for (const fiber of fibers.created) assert.strictEqual((yield* Fiber.join(fiber)).outcome, "Created")
      const other = { idempotency: { ...options.idempotency, hash: "b".repeat(64) } }
      assert.strictEqual((yield* store.create(later, other)).outcome, "Created")
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live("100 identical requests at once through two stores: one invoice, one event, one answer", () =>
    Effect.gen(function* () {
      const stores = [yield* storeAt(url), yield* storeAt(url)] as const
      for (let round = 0; round < 10; round++) {
        const invoice = Generators.invoice()
        const options = { by: "mary", idempotency: newKey() }
        const creations = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, index) => stores[index % 2 === 0 ? 0 : 1]),
          (store) => store.create(invoice, options),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(creations.filter(({ outcome }) => outcome === "Created").length, 1)
        assert.strictEqual(creations.filter(({ outcome }) => outcome === "Replayed").length, 99)
        assert.strictEqual(new Set(creations.map(({ stored }) => stored.storedAt)).size, 1)
        assert.deepStrictEqual(yield* eventsOf([invoice]), [invoice.id])
      }
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live("few ids and few keys in any order through two stores: every request gets the answer of its key and id", () =>
    Effect.gen(function* () {
      const stores = [yield* storeAt(url), yield* storeAt(url)] as const
      for (let round = 0; round < 8; round++) {
        const invoices = Array.from({ length: 12 }, () => Generators.invoice())
        const keys = Array.from({ length: 12 }, newKey)
        const pick = <A>(of: ReadonlyArray<A>): A => of[Math.floor(Math.random() * of.length)] as A
        const results = yield* Effect.forEach(
          Array.from({ length: 400 }, (_, index) => index),
          (index) => {
            const invoice = pick(invoices)
            const key = pick(keys)
            // the hash is that of the id: another id with the key is other content
            const hash = invoice.id.replaceAll("-", "").padEnd(64, "0")
            const options: CreateOptions = index % 3 === 0 ? {} : { idempotency: { ...key, hash } }
            return Effect.map(Effect.result(stores[index % 2 === 0 ? 0 : 1].create(invoice, options)), (result) => ({
              key: options.idempotency?.key,
              id: invoice.id,
              result
            }))
          },
          { concurrency: "unbounded" }
        )
        const outcomes = results.map(({ id, key, result }) => ({
          id,
          key,
          outcome: Result.match(result, {
            onFailure: (error) => (error._tag === "StoreUnavailable" ? `${error.kind}: ${error.cause}` : error._tag),
            onSuccess: ({ outcome }) => outcome
          })
        }))
        const allowed = new Set(["Created", "Unchanged", "Replayed", "IdempotencyKeyReused"])
        assert.deepStrictEqual(
          outcomes.filter(({ outcome }) => !allowed.has(outcome)),
          []
        )
        // each key belongs to one invoice, and each invoice was created once
        for (const { key } of keys) {
          const answered = outcomes.filter((one) => one.key === key && one.outcome !== "IdempotencyKeyReused")
          assert.strictEqual(new Set(answered.map(({ id }) => id)).size, 1)
        }
        const created = outcomes.filter(({ outcome }) => outcome === "Created").map(({ id }) => id)
        assert.deepStrictEqual([...created].sort(), [...new Set(created)].sort())
        assert.deepStrictEqual((yield* eventsOf(invoices)).sort(), [...created].sort())
      }
    }).pipe(Effect.scoped, Effect.provide(own))
  )

  it.live("keys that are over are deleted in bounded batches, but for one that a create has in hand", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`truncate idempotency_key`
      yield* sql`insert into idempotency_key (id, hash, invoice_id, at)
        select gen_random_uuid(), '', gen_random_uuid(), now() - interval '24 hours' - n * interval '1 ms'
        from generate_series(1, 2500) n`
      yield* sql`insert into idempotency_key (id, hash, invoice_id, at)
        select gen_random_uuid(), '', gen_random_uuid(), now() - interval '23 hours' from generate_series(1, 10)`
      const held = yield* sql.withTransaction(
        Effect.gen(function* () {
          const [row] = yield* sql<{ id: string }>`
            update idempotency_key set at = now() where id = (select id from idempotency_key order by at limit 1)
            returning id`
          yield* Effect.scoped(
            Effect.provide(
              IdempotencyKeys.forget(24 * 3_600_000),
              Layer.fresh(PgClient.layer({ url, maxConnections: 1 }))
            )
          )
          return row?.id
        })
      )
      const left = yield* sql<{ id: string }>`select id from idempotency_key`
      assert.strictEqual(left.length, 11)
      assert.isTrue(left.some(({ id }) => id === held))
    }).pipe(Effect.provide(own))
  )
})
