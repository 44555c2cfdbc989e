/** What the validator makes of a Postgres that stops taking writes, for a while and in the middle of a batch. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, inject, it } from "@effect/vitest"
import {
  DeadLetters,
  InvoiceEvent,
  InvoiceStore,
  MessagePublisher,
  Profile,
  ProfileValidator,
  ValidateInvoices
} from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Redacted, Result, Schedule, Stream } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import * as Broker from "../src/memory/Broker.ts"
import { Migrations, PostgresStore } from "../src/postgres/index.ts"

const topic = InvoiceEvent.topics.Pending
/** Sorts before every other id, so that the first try of the whole batch fails because of it. */
const poison = "00000000-0000-4000-8000-000000000000"

const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (yes) => yes, schedule: Schedule.spaced("20 millis") })

/**
 * Has Postgres refuse every verdict on the poisonous invoice, and others as `trigger` says: `visit` counts the updates of
 * invoices, also those that are rolled back.
 */
const harm = (trigger: string) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql.unsafe("create sequence visits")
    yield* sql.unsafe(`create function harm() returns trigger language plpgsql as $$
      declare visit bigint;
      begin
        if new.id = '${poison}' then
          raise exception 'a verdict that can not be kept' using errcode = '23514';
        end if;
        visit := nextval('visits');
        ${trigger}
        return new;
      end $$`)
    yield* sql.unsafe("create trigger harm before update on invoice for each row execute function harm()")
  })

const raise = (sqlState: string) =>
  `if visit between 6 and 40 then raise exception 'not now' using errcode = '${sqlState}'; end if;`

const outages = [
  ["a disk that is full for a while", raise("53100")],
  ["a primary that is a standby for a while", raise("25006")],
  ["a crash of another backend", raise("57P02")],
  ["a lost privilege that comes back", raise("42501")],
  ["an outage that calls itself a fault of the request", raise("P0001")],
  [
    "one terminated connection",
    "if visit = 6 then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5); end if;"
  ]
] as const

describe("while a batch with one poisonous invoice is tried message by message", () => {
  it.live.each(outages)("%s makes no dead letter of any other invoice", ([, trigger]) =>
    Effect.gen(function* () {
      const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
      yield* Effect.gen(function* () {
        const store = yield* InvoiceStore
        const { publish } = yield* MessagePublisher
        const { list } = yield* DeadLetters
        const invoices = [...Array.from({ length: 29 }, () => Generators.invoice()), Generators.invoice({ id: poison })]
        yield* Effect.forEach(invoices, (invoice) => store.create(invoice), { concurrency: 30, discard: true })
        yield* harm(trigger)
        yield* publish(
          invoices.map(({ id }) => ({
            topic,
            key: id,
            value: new TextEncoder().encode(JSON.stringify({ id })),
            headers: {}
          }))
        )
        yield* Effect.forkScoped(Effect.flatMap(ValidateInvoices, ({ run }) => run))
        const deadKeys = Effect.map(Stream.runCollect(list(topic)), (all) => all.map(({ key }) => key))
        const pending = Effect.map(store.list({ status: "Pending", limit: 200 }), ({ items }) =>
          items.map(({ invoice }) => invoice.id)
        )
        yield* until(
          Effect.zipWith(deadKeys, pending, (dead, waiting) => dead.length > 0 && waiting.length <= dead.length)
        )
        assert.deepStrictEqual(yield* deadKeys, [poison])
        const [deadLetter] = yield* Stream.runCollect(list(topic))
        assert.include(deadLetter?.reason, "a verdict that can not be kept")
        assert.deepStrictEqual(yield* pending, [poison])
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Layer.mergeAll(ValidateInvoices.layer({ retryMillis: 20 }), DeadLetters.layer).pipe(
            Layer.provideMerge(
              Layer.mergeAll(
                PostgresStore.layer({ url, maxConnections: 4 }),
                PgClient.layer({ url, maxConnections: 2 }),
                ProfileValidator.layer(Profile.core),
                Broker.layer({ partitions: 1 })
              )
            )
          )
        )
      )
    })
  )
})

describe("the proof that Postgres takes writes", () => {
  // roles belong to the server, not to a database
  const reader = `reader_${randomUUID().replaceAll("-", "")}`

  const as = (role: string, url: Redacted.Redacted): Redacted.Redacted => {
    const changed = new URL(Redacted.value(url))
    changed.username = role
    changed.password = role
    return Redacted.make(changed.href)
  }

  /** What came of a probe, after it was seen that it left nothing but its own commit. */
  const probed = (harms: ReadonlyArray<string>, role?: string) =>
    Effect.gen(function* () {
      const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
      const admin = PgClient.layer({ url, maxConnections: 1 })
      const run = (statement: string) =>
        Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<{ rows: bigint }>(statement)).pipe(Effect.provide(admin))
      yield* Effect.forEach(harms, run)
      const proof = yield* Effect.flatMap(InvoiceStore, ({ writable }) => Effect.andThen(writable, writable)).pipe(
        Effect.result,
        Effect.provide(PostgresStore.layer({ url: role === undefined ? url : as(role, url), maxConnections: 2 }))
      )
      const left = ["invoice", "invoice_line", "outbox_event"].map((table) => `(select count(*) from ${table})`)
      const [rows] = yield* run(`select ${left.join(" + ")} as rows`)
      assert.strictEqual(Number(rows?.rows), 0)
      const [commits] = yield* run("select count(*) as rows from write_probe")
      assert.strictEqual(Number(commits?.rows), Result.isSuccess(proof) ? 1 : 0)
      return Result.isSuccess(proof) ? "proved" : proof.failure.kind
    })

  it.live("is a commit of its own, and leaves no invoice and no event behind", () =>
    Effect.map(probed([]), (outcome) => assert.strictEqual(outcome, "proved"))
  )

  it.live.each<readonly [string, ReadonlyArray<string>, string?]>([
    [
      "a role that may read and write all but one table",
      [
        `create role ${reader} login password '${reader}'`,
        `grant select, insert, update, delete on all tables in schema public to ${reader}`,
        `revoke insert on invoice_history from ${reader}`
      ],
      reader
    ],
    [
      "an outbox without a leaf",
      [
        `do $$ declare leaf regclass; begin
          for leaf in select inhrelid::regclass from pg_inherits where inhparent = 'outbox_event'::regclass loop
            execute format('drop table %s', leaf);
          end loop;
        end $$`
      ]
    ],
    [
      "a trigger that refuses every verdict",
      [
        `create function no() returns trigger language plpgsql as
          $$ begin raise exception 'no' using errcode = '23514'; end $$`,
        "create trigger no before update on invoice for each row execute function no()"
      ]
    ],
    ["a history that is gone", ["drop table invoice_history"]]
  ])("can't be had of %s", ([, harms, role]) =>
    Effect.map(probed(harms, role), (outcome) => assert.strictEqual(outcome, "unavailable"))
  )
})
