/**
 * A consumer of your own: keeps a running total of what was approved, by customer and currency, exactly once, however
 * often it is killed. `docs/guides/consumers.md` explains how; `running-total.e2e.test.ts` kills it.
 *
 * DATABASE_URL: the pipeline's database. KAFKA_BROKERS: its brokers. TOPIC: default `invoice_approved`.
 */
import { PgClient } from "@effect/sql-pg"
import { KafkaConsumer } from "@invoice/adapters/kafka"
import { Inbox, PostgresStore } from "@invoice/adapters/postgres"
import { Invoice, InvoiceEvent, InvoiceStore, MessageConsumer, Money } from "@invoice/core"
import { Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { SqlClient } from "effect/sql"

const url = Redacted.make(process.env["DATABASE_URL"] ?? "")
const brokers = (process.env["KAFKA_BROKERS"] ?? "").split(",")
const topic = process.env["TOPIC"] ?? InvoiceEvent.topics.Approved
const group = "running-total"

const createTable = `
create table if not exists running_total (
  customer_id uuid, currency text, total numeric not null, invoices bigint not null, primary key (customer_id, currency)
)`

const add = `
insert into running_total (customer_id, currency, total, invoices) values ($1::uuid, $2, $3::numeric, 1)
on conflict (customer_id, currency) do update
set total = running_total.total + excluded.total, invoices = running_total.invoices + 1`

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* InvoiceStore
  const consumer = yield* MessageConsumer
  yield* sql.unsafe(createTable)
  const inbox = yield* Inbox.make({ consumer: group })

  // sorted, so that two batches never wait for one another's rows
  const write = Effect.fnUntraced(function* (events: ReadonlyArray<Inbox.Incoming>) {
    const ids = events.flatMap(({ message }) => Invoice.parseId(message.key ?? "") ?? [])
    const invoices = (yield* store.getMany(ids)).map(({ invoice }) => invoice)
    for (const { amount, customerId } of invoices.toSorted((a, b) => (a.customerId < b.customerId ? -1 : 1))) {
      yield* sql.unsafe(add, [customerId, amount.currency, Money.format(amount)])
    }
  })

  yield* consumer.subscribe({ topic, group }).pipe(
    Stream.mapEffect(
      (batch) =>
        inbox.handle(batch, write).pipe(
          Effect.tapError((error) => Effect.logWarning("not written yet", error.message)),
          // tries again while the database is unavailable; any other error ends the program, and a person has to decide
          Effect.retry({
            schedule: Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")]),
            while: (error) =>
              (error._tag === "SqlError" && error.isRetryable) || (error._tag === "StoreUnavailable" && error.retryable)
          })
        ),
      { concurrency: "unbounded", unordered: true }
    ),
    Stream.runDrain
  )
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(
      Layer.mergeAll(
        PgClient.layer({ url, maxConnections: 4 }),
        PostgresStore.layer({ url, maxConnections: 2 }),
        // the shortest session that brokers allow by default: for so long a killed consumer keeps its partitions
        KafkaConsumer.layer({ brokers, sessionTimeout: "6 seconds", heartbeatInterval: "500 millis" })
      )
    )
  )
)
