/** Kills the example again and again, at moments that a seed chooses, and counts money. */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { KafkaPublisher } from "@invoice/adapters/kafka"
import { Migrations, PostgresStore } from "@invoice/adapters/postgres"
import { type Invoice, InvoiceEvent, InvoiceStore, MessagePublisher, OutboxEvent, Timestamp } from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Fiber, Layer, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { inject } from "vitest"
import { freshDatabase } from "../../test/infra/database.ts"

const example = fileURLToPath(new URL("../src/running-total.ts", import.meta.url))
const seed = Number(process.env["SEED"] ?? 20_261_123)
const kills = 5
const count = 3_000

/** mulberry32 */
const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const start = (env: Readonly<Record<string, string>>): ChildProcess =>
  spawn(process.execPath, ["--conditions=source", example], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: "ignore"
  })

const killed = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resume(Effect.void)
    } else {
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    }
  })

describe("the running total", () => {
  it.live("is what was approved to the cent, though it is killed five times and events are published twice", () =>
    Effect.gen(function* () {
      const next = random(seed)
      const brokers = inject("kafkaBrokers")
      const url = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      const topic = `running-total-${randomUUID()}`
      yield* Effect.scoped(Layer.build(Migrations.layer({ url })))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* InvoiceStore
        const publisher = yield* MessagePublisher

        const customers = Array.from({ length: 20 }, () => randomUUID())
        const invoices = Array.from({ length: count }, () => {
          const amount = (Math.floor(next() * 1e7) / 100).toFixed(2)
          return Generators.invoice({
            amount,
            customer_id: customers[Math.floor(next() * customers.length)],
            items: [{ description: "something", quantity: "1", unit_price: amount, total: amount }]
          })
        })
        const expected = new Map<string, { total: bigint; invoices: number }>()
        for (const { amount, customerId } of invoices) {
          const { invoices: number, total } = expected.get(customerId) ?? { total: 0n, invoices: 0 }
          expected.set(customerId, { total: total + amount.minor, invoices: number + 1 })
        }
        yield* Effect.forEach(invoices, (invoice) => store.create(invoice), { concurrency: 256, discard: true })

        const approvedOf = (id: Invoice.InvoiceId): Message => {
          const draft = InvoiceEvent.decided(id, 2, { status: "Approved", by: "test", violations: [] })
          const payload = new TextEncoder().encode(draft.payload)
          return OutboxEvent.toMessage({ ...draft, topic, id: randomUUID(), payload, at: Timestamp.fromMillis(0) })
        }
        const approved = invoices.map(({ id }) => approvedOf(id))
        const publishAll = Effect.gen(function* () {
          for (let from = 0; from < approved.length; from += 50) {
            const page = approved.slice(from, from + 50)
            yield* publisher.publish(page)
            // as a relay does that lost its position
            if (next() < 0.3) yield* publisher.publish(page)
          }
        })

        const seen = sql
          .unsafe<{ readonly seen: string }>("select coalesce(sum(invoices), 0)::text as seen from running_total")
          .pipe(
            Effect.map(([row]) => Number(row?.seen ?? 0)),
            // not made yet
            Effect.catch(() => Effect.succeed(0))
          )
        const reaches = (wanted: number) =>
          Effect.repeat(seen, { until: (now) => now >= wanted, schedule: Schedule.spaced("5 millis") })
        const running = Effect.acquireRelease(
          Effect.sync(() => start({ DATABASE_URL: Redacted.value(url), KAFKA_BROKERS: brokers, TOPIC: topic })),
          killed
        )

        const publishing = yield* Effect.forkScoped(publishAll)
        for (let kill = 0; kill < kills; kill++) {
          const threshold = (yield* seen) + 1 + Math.floor((next() * count) / (2 * kills))
          yield* Effect.scoped(Effect.andThen(running, reaches(threshold)))
        }
        assert.isAbove(count, yield* seen)
        yield* Fiber.join(publishing)
        yield* publisher.publish(approved)
        // when these are counted, in whatever partition, so is all that was published before them
        const customer = randomUUID()
        const markers = Array.from({ length: 50 }, () => Generators.invoice({ customer_id: customer }))
        yield* Effect.forEach(markers, (invoice) => store.create(invoice), { discard: true })
        yield* publisher.publish(markers.map(({ id }) => approvedOf(id)))
        yield* Effect.scoped(Effect.andThen(running, reaches(count + markers.length)))
        expected.set(customer, { total: 50n * 105_000n, invoices: 50 })
        const rows = yield* sql.unsafe<{ customer_id: string; total: string; invoices: string }>(
          "select customer_id::text, (total * 100)::bigint::text as total, invoices::text from running_total"
        )
        assert.deepStrictEqual(
          new Map(rows.map((row) => [row.customer_id, { total: BigInt(row.total), invoices: Number(row.invoices) }])),
          expected
        )
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Layer.mergeAll(
            PgClient.layer({ url, maxConnections: 4 }),
            PostgresStore.layer({ url }),
            KafkaPublisher.layer({ brokers: brokers.split(","), topics: [topic] })
          )
        )
      )
    })
  )
})
