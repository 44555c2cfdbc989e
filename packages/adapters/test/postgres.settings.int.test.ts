/** What correctness rests on is set for every connection of ours, whatever a database or a role has as its default. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import { InvoiceStore, Lane, Outbox } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Context, Effect, Fiber, Layer, Option, Redacted, Schedule } from "effect"
import { Postgres } from "../../../test/faults/Postgres.ts"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, OutboxAdmin, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import * as SnapshotWindow from "../src/postgres/SnapshotWindow.ts"

/** Changes the number of lanes. */
class Lanes extends Context.Service<Lanes, (lanes: number) => Effect.Effect<void, unknown>>()("Lanes") {}

/** A database whose defaults are set before anything connects to it. */
const withDefaults = <A, E>(
  defaults: Readonly<Record<string, string>>,
  use: Effect.Effect<A, E, InvoiceStore | Outbox | PgClient.PgClient | Lanes>
) =>
  Effect.gen(function* () {
    const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
    const own = PgClient.layer({ url, maxConnections: 4 })
    yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
    yield* Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      for (const [name, value] of Object.entries(defaults)) {
        yield* sql.unsafe(
          `do $$ begin execute format('alter database %I set ${name} = ''${value}''', current_database()); end $$`
        )
      }
    }).pipe(Effect.provide(own))
    const ports = Layer.mergeAll(
      PostgresStore.layer({ url, maxConnections: 4, timeoutMillis: 2_000 }),
      PostgresOutbox.layer({ url, timeoutMillis: 2_000 }),
      // on a connection of its own, not on that of the test
      Layer.succeed(Lanes, (lanes) =>
        Effect.provide(OutboxAdmin.resize({ lanes, partitions: 6 }), OutboxAdmin.layer({ url }))
      )
    )
    return yield* Effect.provide(use, [ports, own])
  })

const create = Effect.flatMap(InvoiceStore, (store) => {
  const invoice = Generators.invoice()
  return Effect.as(store.create(invoice), invoice)
})

const read = (lane: number) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const lease = Option.getOrThrow(yield* outbox.acquire({ lane, owner: "test", ttlMillis: 60_000 }))
    const page = yield* outbox.read({ lease, position: lease.position, limit: 1_000 })
    yield* outbox.commit(lease, page.next)
    return page.events
  })

describe("the defaults of a database", () => {
  it.live("isolation: writers that waited for a change of lanes write to the lanes that there are", () =>
    withDefaults(
      { default_transaction_isolation: "repeatable read" },
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const resize = yield* Lanes
        yield* resize(2)
        // statements are prepared and the lanes known
        yield* Effect.forEach(Array.from({ length: 4 }), () => create)
        for (const lane of [0, 1]) yield* read(lane)
        const { resizing, writing } = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`lock table outbox_event in share row exclusive mode`
            const resizing = yield* Effect.forkChild(resize(1))
            yield* waiting(1)
            const writing = yield* Effect.forkChild(
              Effect.all(
                Array.from({ length: 20 }, () => create),
                { concurrency: "unbounded" }
              )
            )
            yield* waiting(2)
            return { resizing, writing }
          })
        )
        yield* Fiber.join(resizing)
        const invoices = yield* Fiber.join(writing)
        const found = new Set((yield* read(0)).map(({ key }) => key))
        assert.deepStrictEqual(
          invoices.filter(({ id }) => !found.has(id)),
          []
        )
        assert.isTrue(invoices.some(({ id }) => Lane.of(id, 2) === 1))
      })
    )
  )

  it.live("timeouts and asynchronous commits do not reach the ports", () =>
    withDefaults(
      {
        statement_timeout: "1ms",
        lock_timeout: "1ms",
        synchronous_commit: "off"
      },
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const invoice = yield* create
        // longer than either timeout
        yield* sql.unsafe("set statement_timeout = 0")
        assert.strictEqual((yield* read(0)).length, 1)
        const store = yield* InvoiceStore
        const decided = yield* store.decide([
          { id: invoice.id, version: 1, verdict: { status: "Approved", violations: [], by: "test" } }
        ])
        assert.strictEqual(decided[0]?.outcome, "Decided")
        yield* store.ready
      })
    )
  )
})

/** Sessions of this database that wait for a lock. */
const waiting = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql`select pg_stat_clear_snapshot()`
    const rows =
      yield* sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    return yield* rows.length >= count ? Effect.void : Effect.fail("not yet")
  }).pipe(Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }))))

describe("a statement that Postgres does not answer", () => {
  it.live("fails as a store that is not available, and the store goes on when it can", () =>
    withDefaults(
      {},
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const store = yield* InvoiceStore
        const invoice = Generators.invoice()
        const failed = yield* sql.withTransaction(
          Effect.andThen(
            sql`lock table invoice, outbox_cursor in access exclusive mode`,
            Effect.all(
              [
                Effect.flip(store.create(invoice)),
                Effect.flip(store.get(invoice.id)),
                Effect.flip(
                  Effect.flatMap(Outbox, (outbox) => outbox.acquire({ lane: 0, owner: "test", ttlMillis: 1_000 }))
                )
              ],
              { concurrency: "unbounded" }
            )
          )
        )
        assert.deepStrictEqual(
          failed.map(({ _tag }) => _tag),
          ["StoreUnavailable", "StoreUnavailable", "OutboxUnavailable"]
        )
        yield* store.create(invoice)
        assert.strictEqual((yield* read(0)).filter(({ key }) => key === invoice.id).length, 1)
      })
    )
  )
})

describe("a lease", () => {
  it.live(
    "whose holder is gone goes to a standby that has watched it for its time, also after the clock was set back",
    () =>
      withDefaults(
        {},
        Effect.gen(function* () {
          const sql = yield* PgClient.PgClient
          const outbox = yield* Outbox
          const take = (owner: string) => outbox.acquire({ lane: 0, owner, ttlMillis: 500 })
          yield* take("gone")
          // as the clock sees it that was set back by an hour
          yield* sql`update outbox_cursor set lease_until = lease_until + interval '1 hour'`
          assert.isTrue(Option.isNone(yield* take("standby")))
          const next = yield* take("standby").pipe(
            Effect.filterOrFail(Option.isSome, () => "held"),
            Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "5 seconds" })))
          )
          assert.strictEqual(next.value.epoch, "2")
        })
      )
  )

  it.live("stays with a holder that renews it, also after the clock was set forward", () =>
    withDefaults(
      {},
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const outbox = yield* Outbox
        const lease = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "holder", ttlMillis: 400 }))
        for (let renewals = 0; renewals < 8; renewals++) {
          yield* outbox.renew(lease, 400)
          // as the clock sees it that was set forward by an hour
          yield* sql`update outbox_cursor set lease_until = lease_until - interval '1 hour'`
          const taken = yield* outbox.acquire({ lane: 0, owner: "standby", ttlMillis: 400 })
          assert.deepStrictEqual(taken, Option.none())
          yield* Effect.sleep("100 millis")
        }
        yield* outbox.commit(lease, lease.position)
      })
    )
  )
})

describe("an idle outbox", () => {
  it.live("leaves the position where it is while other transactions come and go", () =>
    withDefaults(
      {},
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const outbox = yield* Outbox
        yield* create
        yield* read(0)
        const lease = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "test", ttlMillis: 60_000 }))
        const first = yield* outbox.read({ lease, position: lease.position, limit: 10 })
        yield* sql`create table elsewhere (n integer)`
        for (let count = 0; count < 10; count++) yield* sql`insert into elsewhere values (1)`
        const second = yield* outbox.read({ lease, position: first.next, limit: 10 })
        // what was in progress elsewhere at the first look may be over, but the end stays
        const endOf = (position: string) => SnapshotWindow.xmaxOf(position)
        assert.strictEqual(endOf(second.next), endOf(first.next))
      })
    )
  )
})

describe("a hot standby", () => {
  it.live("tells no changes, since its snapshots don't tell which transactions are in progress", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.promise(() => Postgres.start()),
        (server) => Effect.promise(() => server.stop())
      )
      const admin = server.admin()
      yield* Effect.promise(() => admin.query("create database replicated"))
      yield* Effect.promise(() => admin.close())
      yield* Effect.scoped(Layer.build(Migrations.layer({ url: Redacted.make(server.url("replicated")) })))
      const replica = yield* Effect.acquireRelease(
        Effect.promise(() => Postgres.standby(server)),
        (replica) => Effect.promise(() => replica.stop())
      )
      yield* Effect.gen(function* () {
        const store = yield* InvoiceStore
        const errors = [yield* Effect.flip(store.head), yield* Effect.flip(store.changes({ limit: 10 }))]
        for (const error of errors) {
          assert.strictEqual(error._tag, "StoreUnavailable")
          assert.include(String(error._tag === "StoreUnavailable" && error.cause), "hot standby")
        }
        assert.deepStrictEqual((yield* store.list({ limit: 10 })).items, [])
      }).pipe(Effect.provide(PostgresStore.layer({ url: Redacted.make(replica.url("replicated")), maxConnections: 2 })))
    }).pipe(Effect.scoped)
  )
})
