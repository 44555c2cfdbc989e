/** What only the Postgres outbox knows: lanes, leaves, restores and transactions that stay open. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, Lane, LeaseLost, Outbox, OutboxRestored } from "@invoice/core"
import type { Invoice } from "@invoice/core/Invoice"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { Lease } from "@invoice/core/ports/Outbox"
import * as Generators from "@invoice/testing/Generators"
import { Deferred, Effect, Fiber, Layer, Option, type Redacted, Schedule } from "effect"
import type { SqlClient } from "effect/sql"
import { afterAll } from "vitest"
import { Postgres } from "../../../test/faults/Postgres.ts"
import { freshDatabase } from "../../../test/infra/database.ts"
import * as AdvisoryLocks from "../src/postgres/AdvisoryLocks.ts"
import * as ChangeCursor from "../src/postgres/ChangeCursor.ts"
import { Migrations, OutboxAdmin, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"
import * as OutboxPartitions from "../src/postgres/OutboxPartitions.ts"

/** On a server of their own: a transaction that another test file leaves open holds back what is emptied here. */
const server = await Postgres.start()
afterAll(() => server.stop())

/** A database of its own for each test: lanes, leaves and the system are its as a whole. */
const withDatabase = <A, E>(
  use: (url: Redacted.Redacted) => Effect.Effect<A, E, InvoiceStore | Outbox | PgClient.PgClient | SqlClient.SqlClient>
) =>
  Effect.gen(function* () {
    const url = yield* Effect.promise(() => freshDatabase(server.url("postgres")))
    yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
    return yield* use(url).pipe(
      Effect.provide([
        PostgresStore.layer({ url, maxConnections: 4 }),
        PostgresOutbox.layer({ url }),
        PgClient.layer({ url, maxConnections: 6 })
      ])
    )
  })

const approve = { status: "Approved", violations: [], by: "test" } as const

const create = (count: number) =>
  Effect.flatMap(InvoiceStore, (store) =>
    Effect.forEach(
      Array.from({ length: count }, () => Generators.invoice()),
      (invoice) => Effect.as(store.create(invoice), invoice),
      { concurrency: 16 }
    )
  )

const take = (lane: number, owner = "test") =>
  Effect.flatMap(Outbox, (outbox) => Effect.map(outbox.acquire({ lane, owner, ttlMillis: 60_000 }), Option.getOrThrow))

const drain = (lease: Lease) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const events: Array<OutboxEvent> = []
    let { position } = lease
    let more = true
    while (more) {
      const page = yield* outbox.read({ lease, position, limit: 100 })
      events.push(...page.events)
      position = page.next
      more = page.more
    }
    yield* outbox.commit(lease, position)
    return events
  })

const keysOf = (invoices: ReadonlyArray<Invoice>): ReadonlyArray<string> => invoices.map(({ id }) => id).sort()

describe("lanes", () => {
  it.live("hold each key in one of them, and all of them together hold everything", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        yield* OutboxAdmin.resize({ lanes: 3, partitions: 6 })
        const invoices = yield* create(60)
        const store = yield* InvoiceStore
        yield* store.decide(invoices.map(({ id }) => ({ id, version: 1, verdict: approve })))
        const found: Array<OutboxEvent> = []
        for (const lane of [0, 1, 2]) {
          const events = yield* Effect.flatMap(take(lane), drain)
          assert.isTrue(events.every(({ key }) => Lane.of(key, 3) === lane))
          found.push(...events)
        }
        assert.strictEqual(found.length, 120)
        assert.deepStrictEqual(
          found
            .filter(({ version }) => version === 1)
            .map(({ key }) => key)
            .sort(),
          keysOf(invoices)
        )
        const { lanes } = yield* (yield* Outbox).status
        assert.deepStrictEqual(
          lanes.map(({ events, lane }) => [lane, events]),
          [
            [0, 0],
            [1, 0],
            [2, 0]
          ]
        )
      })
    )
  )

  it.live("change their number under writers without losing, repeating or reordering anything", () =>
    withDatabase((url) =>
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const outbox = yield* Outbox
        const published: Array<OutboxEvent> = []
        let writing = true
        /** A relay of one lane, as plain as can be: what it reads counts as published. */
        const relay = (lane: number) =>
          Effect.gen(function* () {
            while (true) {
              const lease = yield* outbox.acquire({ lane, owner: `relay ${lane}`, ttlMillis: 60_000 })
              if (Option.isNone(lease)) {
                yield* Effect.sleep("20 millis")
                continue
              }
              let { position } = lease.value
              yield* Effect.gen(function* () {
                while (true) {
                  const page = yield* outbox.read({ lease: lease.value, position, limit: 50 })
                  // the fence comes before what it protects, as a real relay's lease does
                  yield* outbox.commit(lease.value, page.next)
                  published.push(...page.events)
                  position = page.next
                  yield* Effect.sleep("2 millis")
                }
              }).pipe(Effect.catchTag("LeaseLost", () => Effect.void))
            }
          })
        const relays = yield* Effect.forEach([0, 1, 2], (lane) => Effect.forkChild(relay(lane)))
        const invoices: Array<Invoice> = []
        const writers = yield* Effect.forEach(Array.from({ length: 8 }), () =>
          Effect.forkChild(
            Effect.gen(function* () {
              while (writing) {
                const invoice = Generators.invoice()
                yield* store.create(invoice)
                invoices.push(invoice)
                yield* store.decide([{ id: invoice.id, version: 1, verdict: approve }])
              }
            })
          )
        )
        const admin = OutboxAdmin.layer({ url })
        for (const lanes of [3, 2, 1, 3]) {
          yield* Effect.sleep("150 millis")
          yield* OutboxAdmin.resize({ lanes, partitions: 6 }).pipe(Effect.provide(admin))
        }
        yield* Effect.sleep("150 millis")
        // however slow the machine is
        while (invoices.length <= 100) yield* Effect.sleep("10 millis")
        writing = false
        yield* Effect.forEach(writers, Fiber.join)
        while (published.length < invoices.length * 2) yield* Effect.sleep("10 millis")
        yield* Effect.forEach(relays, Fiber.interrupt)
        assert.isAbove(invoices.length, 100)
        assert.strictEqual(published.length, invoices.length * 2)
        const last = new Map<string, number>()
        for (const { key, version } of published) {
          assert.strictEqual(version, (last.get(key) ?? 0) + 1)
          last.set(key, version)
        }
      })
    )
  )

  it.live("stay as they are when they would share a partition, or when nobody publishes what waits", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const refusal = (lanes: number, waitMillis = 100) =>
          Effect.map(Effect.flip(OutboxAdmin.resize({ lanes, partitions: 6, waitMillis })), ({ message }) => message)
        assert.include(yield* refusal(4), "don't divide")
        assert.include(yield* refusal(0), "don't divide")
        yield* create(1)
        assert.include(yield* refusal(2), "wait to be published")
        assert.strictEqual((yield* (yield* Outbox).status).lanes.length, 1)
        // and the writers go on
        yield* create(1)
      })
    )
  )

  it.live("end the leases of before when their number changes", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const lease = yield* take(0)
        yield* OutboxAdmin.resize({ lanes: 2, partitions: 6 })
        assert.instanceOf(yield* Effect.flip(outbox.commit(lease, lease.position)), LeaseLost)
        assert.deepStrictEqual(yield* outbox.acquire({ lane: 2, owner: "x", ttlMillis: 1 }), Option.none())
      })
    )
  )
})

/** Leaves of ten events: the one that the migration made is replaced. */
const smallLeaves = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  yield* sql.withTransaction(
    Effect.gen(function* () {
      // the store looks after its leaves at the same time
      yield* sql`select pg_advisory_xact_lock(${AdvisoryLocks.partitions})`
      for (const leaf of [0, 1, 2]) yield* sql.unsafe(`drop table outbox_event_${leaf}`)
      yield* sql`update outbox_state set leaf_size = 10`
    })
  )
  yield* OutboxPartitions.ensure
})

const leaves = Effect.flatMap(PgClient.PgClient, (sql) =>
  Effect.map(
    sql<{ name: string }>`select inhrelid::regclass::text as name from pg_inherits
      where inhparent = 'outbox_event'::regclass order by length(inhrelid::regclass::text), 1`,
    (rows) => rows.map(({ name }) => name.replace("outbox_event_", ""))
  )
)

const kept = Effect.flatMap(PgClient.PgClient, (sql) =>
  Effect.map(sql<{ seq: bigint }>`select seq from outbox_event order by seq`, (rows) =>
    rows.map(({ seq }) => Number(seq))
  )
)

/**
 * Until all but the last leaf are emptied: what can't be locked within a tenth of a second is left for the next time, and a
 * transaction of another test that is open meanwhile holds the position back.
 */
const emptied = Effect.gen(function* () {
  yield* Effect.flatMap(take(0), drain)
  yield* OutboxPartitions.retire(1)
  const { length } = yield* kept
  return yield* length === 1 ? Effect.void : Effect.fail("not yet")
}).pipe(Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "10 seconds" }))))

/** In batches, so that leaves are made ahead of the sequence as in a real life. */
const createInSteps = (count: number) =>
  Effect.forEach(Array.from({ length: count / 10 }), () => Effect.tap(create(10), () => OutboxPartitions.ensure)).pipe(
    Effect.map((batches) => batches.flat())
  )

describe("leaves", () => {
  it.live("are made ahead, emptied once all is published and old enough, and dropped much later", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* smallLeaves
        yield* sql`alter table outbox_event alter column at set default clock_timestamp() - interval '1 hour'`
        yield* createInSteps(30)
        yield* OutboxPartitions.retire(60_000)
        assert.strictEqual((yield* kept).length, 30, "nothing is published yet")
        const lease = yield* take(0)
        assert.strictEqual((yield* drain(lease)).length, 30)
        yield* OutboxPartitions.retire(7_200_000)
        assert.strictEqual((yield* kept).length, 30, "it is not old enough")
        yield* OutboxPartitions.retire(60_000)
        // numbers begin at 1, so the last event is the first of the fourth leaf
        assert.deepStrictEqual(yield* kept, [30])
        assert.deepStrictEqual((yield* leaves).slice(0, 3), ["0", "1", "2"])
        yield* sql`update outbox_emptied_leaf set at = at - interval '1 hour'`
        yield* OutboxPartitions.retire(60_000)
        assert.deepStrictEqual((yield* leaves)[0], "3")
        const [dead] = yield* sql<{ dead: number }>`select coalesce(sum(n_tup_upd + n_tup_del), 0)::int as dead
          from pg_stat_user_tables where relname like 'outbox_event_%'`
        assert.strictEqual(dead?.dead, 0, "no row of a leaf was updated or deleted")
        // and life goes on
        const created = yield* create(2)
        const events = yield* Effect.flatMap(take(0), drain)
        assert.deepStrictEqual(events.map(({ key }) => key).sort(), keysOf(created))
      })
    )
  )

  it.live("stay while a late writer holds a number of theirs, and keep what it commits in the end", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* smallLeaves
        const written = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const late = yield* Effect.forkChild(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`insert into outbox_event (lane, topic, key, ver, type, payload, headers)
                values (0, 'new_invoice', 'late', 1, 'invoice.created', '{}', '{}')`
              yield* Deferred.succeed(written, undefined)
              yield* Deferred.await(go)
            })
          )
        )
        yield* Deferred.await(written)
        yield* createInSteps(30)
        const lease = yield* take(0)
        assert.strictEqual((yield* drain(lease)).length, 30)
        yield* OutboxPartitions.retire(1)
        assert.strictEqual((yield* kept).length, 30, "its transaction holds the snapshot")
        // also when the snapshot says nothing against it, as in the moment before a transaction has an id
        yield* sql.unsafe(
          `update outbox_cursor set lo = (pg_snapshot_xmax(lo)::text || ':' || pg_snapshot_xmax(lo)::text || ':')::pg_snapshot`
        )
        yield* OutboxPartitions.retire(1)
        assert.include(yield* kept, 2, "its lock holds its leaf")
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(late)
        assert.include(yield* kept, 1, "what it committed is there")
      })
    )
  )

  it.live("never make writers wait for long, whoever reads them", () =>
    withDatabase((url) =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* smallLeaves
        yield* createInSteps(30)
        const lease = yield* take(0)
        yield* drain(lease)
        yield* sql.withTransaction(
          Effect.gen(function* () {
            // a dump, say
            yield* sql`lock table outbox_event in access share mode`
            yield* Effect.provide(OutboxPartitions.retire(1), OutboxAdmin.layer({ url }))
            assert.strictEqual((yield* kept).length, 30)
          })
        )
        yield* emptied
        assert.strictEqual((yield* kept).length, 1)
      })
    )
  )

  it.live("that are emptied expire the cursors of who has not seen them, and of nobody else", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        yield* smallLeaves
        const head = yield* store.head
        yield* createInSteps(30)
        // a cursor that names a transaction of another test as in progress expires with whatever it may have written
        const page = yield* store.changes({ cursor: head, limit: 100 }).pipe(
          Effect.filterOrFail(
            ({ next }) => ChangeCursor.parse(next)?.lo.endsWith(":") === true,
            () => "not yet"
          ),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "10 seconds" })))
        )
        assert.strictEqual(page.changes.length, 30)
        yield* emptied
        for (const cursor of [head, page.changes[5]?.cursor]) {
          assert.strictEqual((yield* Effect.flip(store.changes({ cursor, limit: 10 })))._tag, "CursorExpired")
        }
        assert.deepStrictEqual((yield* store.changes({ cursor: page.next, limit: 10 })).changes, [])
        assert.strictEqual((yield* store.changes({ cursor: page.changes[28]?.cursor, limit: 10 })).changes.length, 1)
        // whoever begins with what is kept begins there
        const first = yield* store.changes({ limit: 1 })
        assert.deepStrictEqual(
          first.changes.map(({ id, version }) => [id, version]),
          page.changes.slice(29).map(({ id, version }) => [id, version])
        )
        yield* create(2)
        assert.strictEqual((yield* store.changes({ cursor: page.next, limit: 10 })).changes.length, 2)
      })
    )
  )
})

describe("a restored database", () => {
  /** What a dump carries to another system: the rows, with the transaction ids and positions of the old one. */
  const pretendRestored = Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const shift = 1_000_000
    yield* sql.unsafe(`update outbox_event set xid = ((xid::text::bigint) + ${shift})::text::xid8`)
    yield* sql.unsafe(`update outbox_cursor set
      lo = ((pg_snapshot_xmin(lo)::text::bigint + ${shift}) || ':' || (pg_snapshot_xmax(lo)::text::bigint + ${shift}) || ':')::pg_snapshot`)
    yield* sql`update outbox_state set system_identifier = 42`
  })

  it.live("is refused, says so, and publishes exactly what waits once it is restamped", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const outbox = yield* Outbox
        const before = yield* take(0)
        const published = yield* create(5)
        yield* drain(before)
        const waiting = yield* create(7)
        yield* pretendRestored
        const error = yield* Effect.flip(outbox.acquire({ lane: 0, owner: "test", ttlMillis: 1_000 }))
        assert.instanceOf(error, OutboxRestored)
        assert.include(error.message, "invoice outbox restamp")
        // the api goes on meanwhile: transaction ids that the old positions take for seen long ago
        const meanwhile = yield* create(3)
        yield* store.decide(meanwhile.map(({ id }) => ({ id, version: 1, verdict: approve })))
        const head = yield* store.head
        const stamped = yield* OutboxAdmin.restamp
        assert.deepStrictEqual(stamped, { waiting: 13, published: 5 })
        assert.instanceOf(yield* Effect.flip(outbox.commit(before, before.position)), LeaseLost)
        const events = yield* Effect.flatMap(take(0), drain)
        assert.deepStrictEqual(
          events.map(({ key }) => key).sort(),
          [...keysOf(waiting), ...keysOf(meanwhile), ...keysOf(meanwhile)].sort()
        )
        for (const { id } of meanwhile) {
          assert.deepStrictEqual(
            events.filter(({ key }) => key === id).map(({ version }) => version),
            [1, 2]
          )
        }
        assert.isTrue(published.every(({ id }) => !events.some(({ key }) => key === id)))
        assert.strictEqual((yield* Effect.flip(store.changes({ cursor: head, limit: 10 })))._tag, "CursorExpired")
        yield* create(2)
        const lease = yield* take(0)
        assert.strictEqual((yield* drain(lease)).length, 2)
      })
    )
  )

  it.live("publishes also what a transaction commits that was open when it was restamped", () =>
    withDatabase((url) =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* create(2)
        yield* pretendRestored
        const early = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const late = yield* Effect.forkChild(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`select pg_current_xact_id()::text`
              yield* Deferred.succeed(early, undefined)
              yield* Deferred.await(go)
              yield* sql`insert into outbox_event (lane, topic, key, ver, type, payload, headers)
                values (0, 'new_invoice', 'late', 1, 'invoice.created', '{}', '{}')`
            })
          )
        )
        yield* Deferred.await(early)
        yield* OutboxAdmin.restamp.pipe(Effect.provide(OutboxAdmin.layer({ url })))
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(late)
        const events = yield* Effect.flatMap(take(0), drain)
        assert.strictEqual(events.length, 3)
        assert.include(
          events.map(({ key }) => key),
          "late"
        )
      })
    )
  )

  it.live("publishes also what was written within a savepoint before it was restamped", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* Effect.flatMap(create(3), () => Effect.flatMap(take(0), drain))
        yield* pretendRestored
        yield* sql.withTransaction(
          Effect.andThen(
            sql`select pg_current_xact_id()::text`,
            sql.withTransaction(sql`insert into outbox_event (lane, topic, key, ver, type, payload, headers)
              values (0, 'new_invoice', 'saved', 1, 'invoice.created', '{}', '{}')`)
          )
        )
        assert.deepStrictEqual(yield* OutboxAdmin.restamp, { waiting: 1, published: 3 })
        assert.deepStrictEqual(
          (yield* Effect.flatMap(take(0), drain)).map(({ key }) => key),
          ["saved"]
        )
      })
    )
  )

  it.live("is found also where the transaction ids have started again under the same name", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const outbox = yield* Outbox
        yield* sql`update outbox_cursor set lo = '900000000:900000000:'`
        assert.instanceOf(yield* Effect.flip(outbox.acquire({ lane: 0, owner: "x", ttlMillis: 1 })), OutboxRestored)
      })
    )
  )

  it.live("that was upgraded is adopted as it is", () =>
    withDatabase(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const before = yield* take(0)
        yield* create(2)
        yield* drain(before)
        const waiting = yield* create(3)
        yield* sql`update outbox_state set system_identifier = 42`
        yield* OutboxAdmin.adopt
        assert.deepStrictEqual(keysOf(waiting), (yield* Effect.flatMap(take(0), drain)).map(({ key }) => key).sort())
      })
    )
  )
})
