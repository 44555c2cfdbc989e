/**
 * Verdicts for a backlog of pending invoices on real Kafka and Postgres, compared with the rate of the same validator's
 * decisions without Kafka (load, judge, decide) in the same run. Needs what the tests need for Kafka.
 *
 * BENCH_INVOICES: how many, default 50,000.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { KafkaConsumer, KafkaPublisher } from "@invoice/adapters/kafka"
import { Migrations, PostgresOutbox, PostgresStore } from "@invoice/adapters/postgres"
import {
  InvoiceEvent,
  InvoiceStore,
  Outbox,
  Profile,
  ProfileValidator,
  RelayOutbox,
  ValidateInvoices
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Fiber, Layer, Logger } from "effect"
import { startKafka } from "../../test/infra/kafka/index.ts"

const count = Number(process.env["BENCH_INVOICES"] ?? 50_000)
const directory = await mkdtemp(join(tmpdir(), "invoice-bench-"))
// Postgres may run as another user, who must be able to enter the directory
await chmod(directory, 0o755)
const kafka = await startKafka()
const brokers = kafka.brokers.split(",")

const create = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoices = Array.from({ length: count }, () => Generators.invoice())
  yield* Effect.forEach(invoices, (invoice) => store.create(invoice), { concurrency: 256, discard: true })
  return invoices
})

const rate = (startedAt: number, of: number): number => Math.round(of / ((performance.now() - startedAt) / 1000))

const lagIsZero = Effect.flatMap(Outbox, (outbox) =>
  Effect.gen(function* () {
    while ((yield* outbox.status).lanes.some(({ events }) => events > 0)) {
      yield* Effect.sleep("100 millis")
    }
  })
)

const allDecided = Effect.flatMap(InvoiceStore, (store) =>
  Effect.gen(function* () {
    while ((yield* store.list({ status: "Pending", limit: 1 })).items.length > 0) {
      yield* Effect.sleep("50 millis")
    }
  })
)

const program = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.make({ dataDir: directory })
  const ports = Layer.mergeAll(
    PostgresStore.layer({ url }),
    PostgresOutbox.layer({ url }),
    KafkaPublisher.layer({ brokers }),
    KafkaConsumer.layer({ brokers }),
    ProfileValidator.layer(Profile.core)
  ).pipe(Layer.provide(Migrations.layer({ url })))
  yield* Effect.gen(function* () {
    const { handle } = yield* ValidateInvoices
    const encoder = new TextEncoder()
    // the baseline: the same decisions, three batches of 500 at a time, without a broker
    const direct = yield* create
    const messages = direct.map(
      ({ id }): Message => ({
        topic: InvoiceEvent.topics.Pending,
        key: id,
        value: encoder.encode(JSON.stringify({ id })),
        headers: {}
      })
    )
    const batches = Array.from({ length: Math.ceil(count / 500) }, (_, index) =>
      messages.slice(index * 500, index * 500 + 500)
    )
    let startedAt = performance.now()
    yield* Effect.forEach(batches, handle, { concurrency: 3, discard: true })
    const baseline = rate(startedAt, count)

    const relay = yield* Effect.forkChild(Effect.flatMap(RelayOutbox, ({ run }) => run))
    yield* lagIsZero
    yield* create
    yield* lagIsZero
    yield* Fiber.interrupt(relay)

    startedAt = performance.now()
    // the validator also reads the messages of the invoices decided above, and skips them
    const validator = yield* Effect.forkChild(Effect.flatMap(ValidateInvoices, ({ run }) => run))
    yield* allDecided
    const verdicts = rate(startedAt, count)
    yield* Fiber.interrupt(validator)
    process.stdout.write(
      `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${count} invoices.\n\n` +
        "| What | per second | × the same without Kafka |\n|---|---|---|\n" +
        `| load, judge and decide, without Kafka | ${baseline} | |\n` +
        `| verdicts from the backlog on Kafka (as many decided ones passed over beside) | ${verdicts} | ${(verdicts / baseline).toFixed(2)} |\n`
    )
  }).pipe(Effect.provide(Layer.mergeAll(ValidateInvoices.layer(), RelayOutbox.layer()).pipe(Layer.provideMerge(ports))))
}).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

try {
  await Effect.runPromise(program)
} finally {
  await kafka.stop()
  await rm(directory, { recursive: true, force: true })
}
