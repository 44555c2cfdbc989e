/** `InvoiceStore` on Postgres: every change is one statement, and so one transaction with its history and its event. */
import { IdempotencyKey, type InvoiceNotFound, InvoiceStore, OutboxSignal, StoreUnavailable } from "@invoice/core"
import { Effect, Layer, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as BatchSize from "./BatchSize.ts"
import * as Client from "./Client.ts"
import * as CreateInvoices from "./CreateInvoices.ts"
import * as DecideInvoices from "./DecideInvoices.ts"
import * as GroupCommit from "./GroupCommit.ts"
import * as IdempotencyKeys from "./IdempotencyKeys.ts"
import * as Migrations from "./Migrations.ts"
import * as OutboxPartitions from "./OutboxPartitions.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as ReadInvoices from "./ReadInvoices.ts"
import * as StoreQuery from "./StoreQuery.ts"
import * as WriteProbe from "./WriteProbe.ts"

export interface Options extends Client.Options {
  /** How long published events are kept at least, in milliseconds; default 7 days. A watch can begin that far back. */
  readonly outboxRetentionMillis?: number
  /** How long idempotency keys are kept, in milliseconds; default 24 hours. */
  readonly idempotencyMillis?: number
}

const defaultRetentionMillis = 7 * 24 * 3_600_000

/** Requests that wait at the same time share a statement: at most 2 are in flight, of at most 256 requests each. */
const group = { workers: 2, maxBatch: 256 } as const

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<InvoiceStore["Service"], never, SqlClient.SqlClient | Scope.Scope> {
  const sql = yield* SqlClient.SqlClient
  const run = Client.run(sql, Client.timeoutMillisOf(options))
  const query = StoreQuery.make(run)
  const signal = yield* OutboxSignal.OutboxSignal
  const getMany = ReadInvoices.getMany(query)
  const keptMillis = options.idempotencyMillis ?? IdempotencyKey.retentionMillis
  const create = yield* GroupCommit.make({
    ...group,
    write: CreateInvoices.make({ query, getMany, signal, keptMillis }),
    blamesRow: (error: CreateInvoices.CreateFailure) => error._tag === "StoreUnavailable" && error.kind === "permanent"
  })
  const readSize = BatchSize.make()
  const get = yield* GroupCommit.make({
    ...group,
    maxBatch: readSize.current,
    write: ReadInvoices.getEach(query, readSize),
    blamesRow: (_: InvoiceNotFound | StoreUnavailable) => false
  })
  for (const maintained of [
    OutboxPartitions.maintain(options.outboxRetentionMillis ?? defaultRetentionMillis),
    IdempotencyKeys.maintain(keptMillis)
  ]) {
    yield* maintained.pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.forkScoped)
  }
  return InvoiceStore.of({
    create: (invoice, { by = "api", idempotency, traceparent } = {}) =>
      create({ invoice, traceparent, by, idempotency }),
    get,
    getMany,
    list: ReadInvoices.list(query),
    history: ReadInvoices.history(query),
    decide: DecideInvoices.make({ query, signal }),
    ...PostgresChanges.make((statement, parameters) => query(statement, parameters, Client.readMillisOf(options))),
    ready: ready(query),
    writable: Effect.asVoid(run(WriteProbe.probe, [])).pipe(
      // always unavailable: the probe is valid, so it is never at fault itself
      Effect.mapError((cause) => new StoreUnavailable({ kind: "unavailable", cause }))
    )
  })
})

const selectMigration = `select max(migration_id) as migration_id from ${Migrations.table}`

/** Whether the schema is the one that this code was written for. */
const ready = (query: StoreQuery.StoreQuery): Effect.Effect<void, StoreUnavailable> =>
  Effect.flatMap(query<{ migration_id: number }>(selectMigration, []), ([row]) =>
    row?.migration_id === Migrations.latest
      ? Effect.void
      : Effect.fail(
          new StoreUnavailable({
            kind: "unavailable",
            cause: new Error(
              `the schema is at migration ${row?.migration_id ?? 0}, this program needs ${Migrations.latest}`
            )
          })
        )
  )

/** The store on a pool of its own. The schema must be there: provide `Migrations.layer` before it. */
export const layer = (options: Options): Layer.Layer<InvoiceStore, SqlError.SqlError> =>
  Layer.effect(InvoiceStore, make(options)).pipe(Layer.provide(Client.layer(options, "invoice-store", "deadlines")))
