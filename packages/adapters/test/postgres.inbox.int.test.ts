/** Effects exactly once: whatever comes twice, fails, or is gone. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { MessageConsumer, MessagePublisher, OutboxEvent, Timestamp } from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { Deferred, Effect, Fiber, Layer, Redacted, Schedule, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { inject } from "vitest"
import * as Broker from "../src/memory/Broker.ts"
import * as AdvisoryLocks from "../src/postgres/AdvisoryLocks.ts"
import { Inbox } from "../src/postgres/index.ts"

const databaseWith = (startupParameters: Readonly<Record<string, string>>) =>
  PgClient.layer({ url: Redacted.make(inject("postgresUrl")), maxConnections: 4, startupParameters })
const database = databaseWith({})

const value = (key: string, version: number): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ id: key, version }))

/** An invoice's id, by a letter. */
const idOf = (letter: string): string => `00000000-0000-4000-8000-0000000000${letter.charCodeAt(0).toString(16)}`
const letterOf = (id: string | undefined): string => String.fromCharCode(Number.parseInt(id?.slice(-2) ?? "", 16))

/** As the relay publishes it. */
const event = (topic: string, letter: string, version: number): Message =>
  OutboxEvent.toMessage({
    id: randomUUID(),
    topic,
    key: idOf(letter),
    type: "invoice.approved",
    version,
    payload: value(idOf(letter), version),
    at: Timestamp.fromMillis(0)
  })

/** A batch as an adapter would make it; counts its acknowledgements and remembers where it was sent back to. */
const batchOf = (
  topic: string,
  from: number,
  messages: ReadonlyArray<Message>,
  options: { readonly gapBefore?: number; readonly partition?: number; readonly held?: boolean } = {}
) => {
  const heard = { acknowledged: 0, rewound: undefined as string | undefined }
  const first = from + (options.gapBefore ?? 0)
  const batch: MessageBatch = {
    topic,
    partition: options.partition ?? 3,
    messages,
    offsets: messages.map((_, index) => `${first + index}`),
    from: `${from}`,
    next: `${first + messages.length}`,
    acknowledge: Effect.sync(() => {
      heard.acknowledged++
    }),
    rewind: (offset) =>
      Effect.sync(() => {
        heard.rewound = offset
      }),
    isHeld: Effect.succeed(options.held ?? true)
  }
  return { batch, heard }
}

/** A consumer with a table of what it has done. */
const consumer = (options: { readonly versions: boolean } = { versions: true }) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Inbox.ensure
    const name = `consumer-${randomUUID()}`
    const table = `done_${randomUUID().replaceAll("-", "")}`
    yield* sql.unsafe(`create table ${table} (key text, version bigint, previous bigint)`)
    const inbox = yield* Inbox.make({ consumer: name, ...(options.versions ? {} : { eventOf: () => undefined }) })
    const write = (messages: ReadonlyArray<Inbox.Incoming>) =>
      Effect.forEach(
        messages,
        ({ message, previous }) =>
          sql.unsafe(`insert into ${table} values ($1, $2::int8, $3::int8)`, [
            letterOf(message.key),
            BigInt(Inbox.invoiceEvent(message)?.version ?? 0),
            BigInt(previous)
          ]),
        { discard: true }
      )
    const done = Effect.map(
      sql.unsafe<{ readonly one: string }>(
        `select key || ' ' || version || ' after ' || previous as one from ${table}`
      ),
      (rows) => rows.map(({ one }) => one)
    )
    return { inbox, write, done, name }
  })

/** Until a statement waits for a row that another transaction has written. */
const waiting = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.repeat(
    sql<{ readonly waits: boolean }>`select exists (
      select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%into inbox_version%') as waits`,
    { until: ([row]) => row?.waits === true, schedule: Schedule.spaced("5 millis") }
  )
)

describe("an inbox", () => {
  it.live("writes effects and offset together, then acknowledges; a batch that comes again changes nothing", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      const messages = [event(topic, "a", 1), event(topic, "b", 1), event(topic, "a", 2)]
      const first = batchOf(topic, 10, messages)
      assert.deepStrictEqual(yield* inbox.handle(first.batch, write), { handled: 3, repeated: 0 })
      assert.strictEqual(first.heard.acknowledged, 1)
      const again = batchOf(topic, 10, messages)
      assert.deepStrictEqual(yield* inbox.handle(again.batch, write), { handled: 0, repeated: 3 })
      assert.strictEqual(again.heard.acknowledged, 1)
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "b 1 after 0", "a 2 after 1"])
    }).pipe(Effect.provide(database))
  )

  it.live("handles what is new of a batch that overlaps the one before, by its offsets alone", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer({ versions: false })
      const messages = [1, 2, 3, 4].map((version) => event(topic, "a", version))
      yield* inbox.handle(batchOf(topic, 0, messages.slice(0, 2)).batch, write)
      assert.deepStrictEqual(yield* inbox.handle(batchOf(topic, 0, messages).batch, write), { handled: 2, repeated: 2 })
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "a 2 after 0", "a 3 after 0", "a 4 after 0"])
    }).pipe(Effect.provide(database))
  )

  it.live("knows an event that was published twice by its version, within a batch and later, and tells a gap", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      const twice = [event(topic, "a", 1), event(topic, "a", 2), event(topic, "a", 1), event(topic, "a", 2)]
      assert.deepStrictEqual(yield* inbox.handle(batchOf(topic, 0, twice).batch, write), { handled: 2, repeated: 2 })
      const later = [event(topic, "a", 2), event(topic, "a", 5)]
      assert.deepStrictEqual(yield* inbox.handle(batchOf(topic, 4, later).batch, write), { handled: 1, repeated: 1 })
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "a 2 after 1", "a 5 after 2"])
    }).pipe(Effect.provide(database))
  )

  it.live("takes no message for a repeated event that is not one of ours, however much its value looks like it", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { inbox } = yield* consumer()
      const id = idOf("o")
      const order = { topic, key: id, value: value(id, 1) }
      const foreign = (headers: Message["headers"]): Message => ({ ...order, headers })
      const messages = [
        foreign({}),
        foreign({}),
        foreign({ ce_source: "/orders", ce_type: "invoice.created", ce_subject: id, ce_version: "1" }),
        foreign({ ce_source: "/invoice", ce_type: "order.placed", ce_subject: id, ce_version: "1" }),
        foreign({ ce_source: "/invoice", ce_type: "invoice.created", ce_version: "1" })
      ]
      let seen = 0
      const outcome = yield* inbox.handle(batchOf(topic, 0, messages).batch, (some) =>
        Effect.sync(() => {
          seen += some.length
        })
      )
      assert.deepStrictEqual(outcome, { handled: 5, repeated: 0 })
      assert.strictEqual(seen, 5)
    }).pipe(Effect.provide(database))
  )

  it.live("knows a repeated event also when an earlier version published it, with its version in the value", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { inbox } = yield* consumer()
      const { headers, ...rest } = event(topic, "a", 1)
      const { ce_version: _, ...without } = headers
      const old = { ...rest, headers: without }
      const { batch } = batchOf(topic, 0, [old, old, event(topic, "a", 1), event(topic, "a", 2)])
      assert.deepStrictEqual(yield* inbox.handle(batch, () => Effect.void), { handled: 2, repeated: 2 })
    }).pipe(Effect.provide(database))
  )

  it.live("has done nothing when the effects fail, and does not acknowledge", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      const { batch, heard } = batchOf(topic, 0, [event(topic, "a", 1)])
      const failure = yield* Effect.flip(
        inbox.handle(batch, (messages) => Effect.andThen(write(messages), Effect.fail("broken" as const)))
      )
      assert.strictEqual(failure, "broken")
      assert.deepStrictEqual(yield* done, [])
      assert.strictEqual(heard.acknowledged, 0)
      assert.deepStrictEqual(yield* inbox.handle(batch, write), { handled: 1, repeated: 0 })
    }).pipe(Effect.provide(database))
  )

  it.live("goes past places that hold nothing, as compacted topics have", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { inbox, write } = yield* consumer()
      yield* inbox.handle(batchOf(topic, 0, [event(topic, "a", 1)]).batch, write)
      const { batch, heard } = batchOf(topic, 1, [event(topic, "b", 1)], { gapBefore: 50 })
      assert.deepStrictEqual(yield* inbox.handle(batch, write), { handled: 1, repeated: 0 })
      assert.strictEqual(heard.rewound, undefined)
      assert.strictEqual(heard.acknowledged, 1)
    }).pipe(Effect.provide(database))
  )

  it.live("sends the topic back when it is ahead; what is gone by then stops it until somebody gives it up", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, name, write } = yield* consumer()
      yield* inbox.handle(batchOf(topic, 0, [event(topic, "a", 1)]).batch, write)
      for (const _ of [1, 2, 3]) {
        const ahead = batchOf(topic, 7, [event(topic, "b", 1)])
        yield* inbox.handle(ahead.batch, write)
        assert.deepStrictEqual(ahead.heard, { acknowledged: 0, rewound: "1" })
      }
      const gap = yield* Effect.flip(inbox.handle(batchOf(topic, 5, [event(topic, "b", 1)]).batch, write))
      if (gap._tag !== "InboxGap") return assert.fail(gap._tag)
      assert.deepStrictEqual(
        { ...gap },
        { _tag: "InboxGap", consumer: name, topic, partition: 3, expected: "1", found: "5" }
      )
      assert.deepStrictEqual(yield* done, ["a 1 after 0"])
      yield* inbox.accept(gap)
      yield* inbox.handle(batchOf(topic, 5, [event(topic, "b", 1)]).batch, write)
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "b 1 after 0"])
    }).pipe(Effect.provide(database))
  )

  it.live("takes nothing for gone while the batches that say so are given back, as in a storm of rebalances", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      yield* inbox.handle(batchOf(topic, 0, [event(topic, "a", 1)]).batch, write)
      for (let round = 0; round < 10; round++) {
        // a rewind of a batch that is not held does nothing, so it proves nothing
        const lost = batchOf(topic, 7, [event(topic, "b", 1)], { held: false })
        assert.deepStrictEqual(yield* inbox.handle(lost.batch, write), { handled: 0, repeated: 0 })
        assert.strictEqual(lost.heard.acknowledged, 0)
      }
      yield* inbox.handle(batchOf(topic, 1, [event(topic, "c", 1)]).batch, write)
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "c 1 after 0"])
    }).pipe(Effect.provide(database))
  )

  it.live("catches up from the topic when its database is behind", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const sql = yield* SqlClient.SqlClient
      const { done, inbox, name, write } = yield* consumer()
      const publisher = yield* MessagePublisher
      const { subscribe } = yield* MessageConsumer
      const until = (count: number) =>
        subscribe({ topic, group: name }).pipe(
          Stream.tap((batch) => inbox.handle(batch, write)),
          Stream.mapEffect(() => done),
          Stream.takeUntil((all) => all.length >= count),
          Stream.runDrain
        )
      for (let version = 1; version <= 20; version++) yield* publisher.publish([event(topic, "a", version)])
      yield* until(20)
      // as after restoring a backup: offsets, versions and effects of an earlier moment
      yield* sql`update inbox_offset set next_offset = 12 where consumer = ${name}`
      yield* sql`delete from inbox_version where consumer = ${name}`
      const before = (yield* done).length
      yield* Effect.forkScoped(publisher.publish([event(topic, "a", 21)]))
      yield* until(before + 9)
      const again = (yield* done).slice(before)
      assert.deepStrictEqual(
        again.map((one) => Number(one.split(" ")[1])),
        [13, 14, 15, 16, 17, 18, 19, 20, 21]
      )
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(database, Broker.layer({ partitions: 1 }))))
  )

  it.live("lets one of two who both think that the batch is theirs do the work", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      const messages = [event(topic, "a", 1), event(topic, "b", 1)]
      const inside = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const slow = yield* Effect.forkScoped(
        inbox.handle(batchOf(topic, 0, messages).batch, (some) =>
          Effect.andThen(Deferred.succeed(inside, undefined), Effect.andThen(Deferred.await(release), write(some)))
        )
      )
      yield* Deferred.await(inside)
      const other = yield* Effect.forkScoped(inbox.handle(batchOf(topic, 0, messages).batch, write))
      yield* Deferred.succeed(release, undefined)
      const outcomes = [yield* Fiber.join(slow), yield* Fiber.join(other)]
      assert.deepStrictEqual(
        outcomes.map(({ handled }) => handled),
        [2, 0]
      )
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "b 1 after 0"])
    }).pipe(Effect.scoped, Effect.provide(database))
  )

  for (const level of ["read committed", "repeatable read", "serializable"]) {
    it.live(`does the work once however many think that the batch is theirs, where the default is ${level}`, () =>
      Effect.gen(function* () {
        const topic = randomUUID()
        const { done, inbox, write } = yield* consumer()
        const handle = (from: number, messages: ReadonlyArray<Message>) =>
          Effect.retry(inbox.handle(batchOf(topic, from, messages).batch, write), {
            while: (error) => error._tag === "SqlError" && error.isRetryable,
            schedule: Schedule.spaced("5 millis")
          })
        const [a, b, c, d] = ["a", "b", "c", "d"].map((key) => event(topic, key, 1))
        for (const [from, messages] of [
          // the partition's first batch, whose row nobody has made yet, and one that overlaps it
          [0, [a, b]],
          [0, [a, b, c, d]]
        ] as const) {
          const whole = messages.filter((message) => message !== undefined)
          yield* Effect.all(
            Array.from({ length: 4 }, () => handle(from, whole)),
            { concurrency: "unbounded" }
          )
        }
        assert.sameMembers([...(yield* done)], ["a 1 after 0", "b 1 after 0", "c 1 after 0", "d 1 after 0"])
      }).pipe(Effect.provide(databaseWith({ default_transaction_isolation: level })))
    )
  }

  it.live("handles an event once that comes in two partitions at the same time, as when partitions were added", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const { done, inbox, write } = yield* consumer()
      const inside = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const slow = yield* Effect.forkScoped(
        inbox.handle(batchOf(topic, 0, [event(topic, "a", 1)], { partition: 1 }).batch, (some) =>
          Effect.andThen(Deferred.succeed(inside, undefined), Effect.andThen(Deferred.await(release), write(some)))
        )
      )
      yield* Deferred.await(inside)
      const messages = [event(topic, "a", 1), event(topic, "a", 2)]
      const other = yield* Effect.forkScoped(inbox.handle(batchOf(topic, 0, messages, { partition: 2 }).batch, write))
      yield* waiting
      yield* Deferred.succeed(release, undefined)
      assert.deepStrictEqual(yield* Fiber.join(slow), { handled: 1, repeated: 0 })
      assert.deepStrictEqual(yield* Fiber.join(other), { handled: 1, repeated: 1 })
      assert.deepStrictEqual(yield* done, ["a 1 after 0", "a 2 after 1"])
    }).pipe(Effect.scoped, Effect.provide(database))
  )

  it.live("has a partition's first row on disk before it acknowledges, where commits don't wait for the disk", () =>
    Effect.gen(function* () {
      const topic = randomUUID()
      const sql = yield* SqlClient.SqlClient
      const { inbox } = yield* consumer()
      const settings: Array<string> = []
      const look = Effect.map(sql<{ readonly synchronous_commit: string }>`show synchronous_commit`, ([row]) => {
        settings.push(row?.synchronous_commit ?? "")
      })
      // without the row nothing would tell that the group is ahead of the database
      yield* inbox.handle(batchOf(topic, 0, [event(topic, "a", 1)]).batch, () => look)
      yield* inbox.handle(batchOf(topic, 1, [event(topic, "a", 2)]).batch, () => look)
      assert.deepStrictEqual(settings, ["on", "off"])
    }).pipe(Effect.provide(databaseWith({ synchronous_commit: "off" })))
  )

  it.live("does not hold up the outbox's own maintenance while its tables are made", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const inside = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      // an application may make them in a transaction of its own, which may last
      const making = yield* Effect.forkScoped(
        sql.withTransaction(
          Effect.andThen(Inbox.ensure, Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(release)))
        )
      )
      yield* Deferred.await(inside)
      // others may hold it for a moment
      yield* Effect.repeat(
        sql<{ readonly free: boolean }>`select pg_try_advisory_xact_lock(${AdvisoryLocks.partitions}) as free`,
        { until: ([row]) => row?.free === true, schedule: Schedule.spaced("5 millis") }
      )
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(making)
    }).pipe(Effect.scoped, Effect.provide(database))
  )
})
