/** A database of the benchmark: runs statements, and writes and reads backlogs. */
import { PgClient } from "@effect/sql-pg"
import { Migrations, PostgresOutbox, PostgresStore } from "@invoice/adapters/postgres"
import { InvoiceStore, Outbox, OutboxEvent } from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql"

export interface Database {
  readonly url: string
  readonly query: <Row extends object>(
    statement: string,
    parameters?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Row>>
  /** Closes the connections; a later query opens them again. */
  readonly disconnect: () => Promise<void>
}

export const connect = (url: string, maxConnections = 4): Database => {
  const make = () =>
    ManagedRuntime.make(PgClient.layer({ url: Redacted.make(url), maxConnections, applicationName: "bench" }))
  let runtime = make()
  return {
    url,
    query: <Row extends object>(statement: string, parameters: ReadonlyArray<unknown> = []) =>
      runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement, parameters))),
    disconnect: async () => {
      const old = runtime
      runtime = make()
      await old.dispose()
    }
  }
}

export const migrate = (url: string): Promise<void> =>
  Effect.runPromise(Effect.scoped(Effect.asVoid(Layer.build(Migrations.layer({ url: Redacted.make(url) })))))

/** Creates pending invoices of two lines, with their history and events, through the store. */
export const createInvoices = ({ url }: Database, count: number): Promise<void> =>
  Effect.runPromise(
    Effect.flatMap(InvoiceStore, (store) =>
      Effect.forEach(
        Array.from({ length: count }, () => Generators.invoice()),
        (invoice) => store.create(invoice),
        { concurrency: 256, discard: true }
      )
    ).pipe(Effect.provide(PostgresStore.layer({ url: Redacted.make(url) })))
  )

/** Writes events of different keys as a create writes them, a thousand in each transaction. */
export const writeEvents = async ({ query }: Database, topic: string, count: number): Promise<void> => {
  const transaction = 1_000
  for (let written = 0; written < count; written += transaction) {
    await query(insertEvents, [topic, Math.min(transaction, count - written)])
  }
}

const insertEvents = `
insert into outbox_event (lane, topic, key, ver, type, payload, headers)
select 0, $1, id::text, 1, 'invoice.created',
  convert_to('{"id":"' || id || '"}', 'UTF8'), '{}'
from (select gen_random_uuid() as id from generate_series(1, $2::int)) as t`

/** Reads every event of the outbox in pages, as a relay does, and passes them to `take`. */
export const readEvents = (
  url: string,
  limit: number,
  take: (events: ReadonlyArray<OutboxEvent.OutboxEvent>) => Promise<void>
): Promise<number> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const outbox = yield* Outbox
      const lease = { lane: 0, owner: "bench", epoch: "0", position: beginning }
      let position = beginning
      let count = 0
      while (true) {
        const page = yield* outbox.read({ lease, position, limit })
        if (page.events.length === 0 && !page.more) {
          return count
        }
        count += page.events.length
        yield* Effect.promise(() => take(page.events))
        position = page.next
      }
    }).pipe(Effect.provide(PostgresOutbox.layer({ url: Redacted.make(url) })))
  )

/** A snapshot that has seen nothing: 3 is the first transaction id of all. */
const beginning = "3:3:"

/** The messages of the events, to publish them without a relay. */
export const toMessages = (events: ReadonlyArray<OutboxEvent.OutboxEvent>): ReadonlyArray<Message> =>
  events.map(OutboxEvent.toMessage)
