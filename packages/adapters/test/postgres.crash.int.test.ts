/**
 * Positions, cursors and leases across a crash of Postgres, on a server of the test's own.
 *
 * Transaction ids whose write-ahead log was not flushed are handed out again after crash recovery. The WAL writer is slowed
 * down here, so that what nobody waited for is certainly lost.
 */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, Outbox } from "@invoice/core"
import type { Lease } from "@invoice/core/ports/Outbox"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Option, Redacted, Schedule } from "effect"
import { Postgres } from "../../../test/faults/Postgres.ts"
import { Migrations, PostgresOutbox, PostgresStore } from "../src/postgres/index.ts"

const postgres = Effect.acquireRelease(
  Effect.gen(function* () {
    const server = yield* Effect.promise(() => Postgres.start())
    const admin = server.admin()
    yield* Effect.promise(() => admin.query("alter system set wal_writer_delay = '10s'"))
    yield* Effect.promise(() => admin.query("select pg_reload_conf()"))
    yield* Effect.promise(() => admin.query("create database crash"))
    yield* Effect.promise(() => admin.close())
    return server
  }),
  (server) => Effect.promise(() => server.stop())
)

type Ports = InvoiceStore | Outbox | PgClient.PgClient

/** The ports on a server that `crash` kills and starts again; pools and what was read stay. */
const withServer = <A, E>(use: (crash: Effect.Effect<void>) => Effect.Effect<A, E, Ports>) =>
  Effect.gen(function* () {
    const server = yield* postgres
    const url = Redacted.make(server.url("crash"))
    yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
    const crash = Effect.promise(async () => {
      await server.crash()
      await server.launch()
    })
    return yield* use(crash).pipe(
      Effect.provide([
        PostgresStore.layer({ url, maxConnections: 4 }),
        PostgresOutbox.layer({ url }),
        PgClient.layer({ url, maxConnections: 2 })
      ])
    )
  }).pipe(Effect.scoped)

/** Pools notice that their connections died when they use them. */
const again = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })))

/** Other transactions take ids and are rolled back, which nobody waits for. */
const burnIds = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  for (let count = 0; count < 200; count++) {
    yield* sql
      .withTransaction(Effect.andThen(sql`select pg_current_xact_id()::text`, Effect.fail("undo")))
      .pipe(Effect.ignore)
  }
})

const create = (count: number) =>
  Effect.flatMap(InvoiceStore, (store) =>
    Effect.forEach(
      Array.from({ length: count }, () => Generators.invoice()),
      (invoice) => Effect.as(again(store.create(invoice)), invoice.id)
    )
  )

const take = (owner: string) =>
  Effect.flatMap(Outbox, (outbox) =>
    Effect.map(outbox.acquire({ lane: 0, owner, ttlMillis: 60_000 }), Option.getOrThrow)
  )

const drain = (lease: Lease, from: string) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const keys: Array<string> = []
    let position = from
    let more = true
    while (more) {
      const page = yield* outbox.read({ lease, position, limit: 10 })
      keys.push(...page.events.map(({ key }) => key))
      position = page.next
      more = page.more
    }
    return { keys, position }
  })

/** A lease under which all that there was has been read. */
const relayed = Effect.gen(function* () {
  const lease = yield* take("relay")
  yield* create(3)
  const { position } = yield* drain(lease, lease.position)
  return { lease, position }
})

const watch = (from: string | undefined) =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const ids: Array<string> = []
    let cursor = from
    let more = true
    while (more) {
      const page = yield* again(store.changes({ cursor, limit: 10 }))
      ids.push(...page.changes.map(({ id }) => id))
      cursor = page.next
      more = page.more
    }
    return { ids, cursor }
  })

describe("when Postgres crashes and hands transaction ids out again", () => {
  it.live("a position that was committed after an empty page skips nothing", () =>
    withServer((crash) =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const { lease, position } = yield* relayed
        yield* burnIds
        const empty = yield* outbox.read({ lease, position, limit: 10 })
        assert.deepStrictEqual(empty.events, [])
        yield* crash
        yield* again(outbox.status)
        // the relay of before tells the recovered server where it was
        yield* Effect.ignore(outbox.commit(lease, empty.next))
        const later = yield* create(20)
        const next = yield* again(take("relay"))
        const { keys } = yield* drain(next, next.position)
        assert.deepStrictEqual(
          later.filter((id) => !keys.includes(id)),
          []
        )
      })
    )
  )

  it.live("a session that was leased before the crash reads nothing more", () =>
    withServer((crash) =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const { lease, position } = yield* relayed
        yield* crash
        yield* create(1)
        yield* again(outbox.status)
        assert.strictEqual((yield* Effect.flip(outbox.read({ lease, position, limit: 10 })))._tag, "OutboxUnavailable")
        assert.strictEqual((yield* Effect.flip(outbox.commit(lease, position)))._tag, "LeaseLost")
      })
    )
  )

  it.live("a cursor and the head skip nothing", () =>
    withServer((crash) =>
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        yield* create(3)
        const { cursor } = yield* watch(undefined)
        yield* burnIds
        const idle = yield* watch(cursor)
        const head = yield* store.head
        yield* crash
        const later = yield* create(20)
        for (const from of [idle.cursor, head]) {
          const { ids } = yield* watch(from)
          assert.deepStrictEqual(ids.toSorted(), later.toSorted())
        }
      })
    )
  )

  it.live("of all that a relay writes only the position need not be on the disk before it is answered", () =>
    withServer(() =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const outbox = yield* Outbox
        const isFlushed = Effect.map(
          sql<{ flushed: boolean }>`select pg_current_wal_insert_lsn() = pg_current_wal_flush_lsn() as flushed`,
          ([row]) => row?.flushed
        )
        yield* create(1)
        const lease = yield* take("relay")
        assert.isTrue(yield* isFlushed)
        const page = yield* outbox.read({ lease, position: lease.position, limit: 10 })
        yield* outbox.commit(lease, page.next)
        assert.isFalse(yield* isFlushed)
        yield* outbox.renew(lease, 60_000)
        assert.isTrue(yield* isFlushed)
        yield* outbox.park({ lease, events: page.events, reason: "too large", endsReplay: false })
        assert.isTrue(yield* isFlushed)
        yield* outbox.unpark(lease, page.events)
        assert.isTrue(yield* isFlushed)
      })
    )
  )

  it.live("a lease that was answered is not forgotten, so no epoch is given twice", () =>
    withServer((crash) =>
      Effect.gen(function* () {
        const first = yield* take("one")
        yield* crash
        const outbox = yield* Outbox
        assert.deepStrictEqual(
          yield* again(outbox.acquire({ lane: 0, owner: "two", ttlMillis: 60_000 })),
          Option.none()
        )
        const next = yield* take("one")
        assert.isTrue(BigInt(next.epoch) > BigInt(first.epoch))
      })
    )
  )
})
