/** One message that can't be decoded and one record that is too large, in a stream of ten thousand. */
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import { Migrations, PostgresOutbox, PostgresStore } from "@invoice/adapters/postgres"
import { InvoiceStore, Outbox } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { freshDatabase } from "../../../test/infra/database.ts"
import { type Running, start } from "./Process.ts"

const count = 10_000
const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))
const started: Array<Running> = []

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop()))
})

const dlq = (...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=source", entry, "dlq", ...args], {
      env: { PATH: process.env["PATH"] ?? "", KAFKA_BROKERS: inject("kafkaBrokers") }
    })
    return stdout
  })

interface Line {
  readonly key: string | null
  readonly kind: string
  readonly reason: string
  readonly offset: string
  readonly value: string
  readonly from: { readonly topic: string; readonly offset: string }
}

/** The dead letters with a key: the topic is everybody's. */
const deadLettersOf = (key: string) =>
  Effect.map(dlq("list", "--json"), (printed) =>
    printed
      .split("\n")
      .filter((line) => line !== "")
      .map((line): Line => JSON.parse(line))
      .filter((line) => line.key === key)
  )

const insertEvent = `
insert into outbox_event (lane, topic, key, ver, type, payload, headers)
values (0, 'new_invoice', $1, 1, 'invoice.created', $2::bytea, '{}')`

describe("relay and validator", () => {
  it.live("deliver everything else of a stream with a poison message and an oversize record, and list both", () =>
    Effect.gen(function* () {
      const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* InvoiceStore
        const outbox = yield* Outbox
        const [poison, oversize] = [randomUUID(), randomUUID()]
        const create = (some: number) =>
          Effect.forEach(
            Array.from({ length: some }, () => Generators.invoice()),
            (invoice) => store.create(invoice),
            { concurrency: 256, discard: true }
          )
        yield* create(count / 2)
        yield* sql.unsafe(insertEvent, [poison, new TextEncoder().encode('{"id": 7')])
        yield* sql.unsafe(insertEvent, [oversize, new Uint8Array(3_000_000)])
        yield* create(count / 2)

        const env = { DATABASE_URL: Redacted.value(url), KAFKA_BROKERS: inject("kafkaBrokers") }
        started.push(...(yield* Effect.promise(() => Promise.all([start("relay", env), start("validator", env)]))))
        yield* Effect.repeat(
          sql.unsafe<{ readonly left: string }>("select count(*)::text as left from invoice where status = 'Pending'"),
          { until: ([row]) => row?.left === "0", schedule: Schedule.spaced("100 millis") }
        )

        const parked = (yield* outbox.parked).filter(({ key }) => key === oversize)
        assert.deepStrictEqual(
          parked.map(({ events }) => events),
          [1]
        )
        assert.match(parked[0]?.reason ?? "", /MESSAGE_TOO_LARGE/u)

        // the relay may send it twice: it sends what it had sent of a page again without the record that was refused
        const deadLetters = yield* deadLettersOf(poison)
        const [deadLetter] = deadLetters
        for (const { kind, reason, from, value } of deadLetters) {
          assert.strictEqual(kind, "Undecodable")
          assert.include(reason, "not JSON")
          assert.strictEqual(from.topic, "new_invoice")
          assert.strictEqual(Buffer.from(value, "base64").toString(), '{"id": 7')
        }

        // sent again they die again, as other dead letters
        const sent = `${deadLetters.length} sent to new_invoice again\n`
        assert.strictEqual(yield* dlq("replay", "--key", poison), sent)
        yield* Effect.repeat(deadLettersOf(poison), {
          until: (all) =>
            all.length === deadLetters.length && all.every(({ from }) => from.offset !== deadLetter?.from.offset),
          schedule: Schedule.spaced("100 millis")
        })
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            PgClient.layer({ url, maxConnections: 2 }),
            PostgresStore.layer({ url }),
            PostgresOutbox.layer({ url })
          )
        )
      )
    })
  )
})
