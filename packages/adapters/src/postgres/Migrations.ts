/** Migrations: append-only files. Every program that connects to Postgres runs them at start, one program at a time. */
import { Effect, Layer } from "effect"
import { Migrator, type SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"
import * as Client from "./Client.ts"
import { migration as invoiceAndOutbox } from "./migrations/0001_invoice_and_outbox.ts"
import { migration as inbox } from "./migrations/0002_inbox.ts"
import { migration as outboxOperations } from "./migrations/0003_outbox_operations.ts"
import { migration as outboxLeases } from "./migrations/0004_outbox_leases.ts"
import { migration as writeProbe } from "./migrations/0005_write_probe.ts"
import { migration as idempotencyKeys } from "./migrations/0007_idempotency_keys.ts"
import * as OutboxPartitions from "./OutboxPartitions.ts"

const migrations = {
  "0001_invoice_and_outbox": invoiceAndOutbox,
  "0002_inbox": inbox,
  "0003_outbox_operations": outboxOperations,
  "0004_outbox_leases": outboxLeases,
  "0005_write_probe": writeProbe,
  "0007_idempotency_keys": idempotencyKeys
}

/** The migration that this code was written for. */
export const latest = Math.max(...Object.keys(migrations).map((name) => Number.parseInt(name, 10)))

export const table = "invoice_migrations"

/** Brings the schema up to date; answers what was applied, as `[id, name]`. */
export const run: Effect.Effect<
  ReadonlyArray<readonly [id: number, name: string]>,
  Migrator.MigrationError | SqlError.SqlError,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  const applied = yield* AdvisoryLocks.holding(
    AdvisoryLocks.migrations,
    Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
  )
  yield* OutboxPartitions.ensure
  return applied
})

/** Runs the migrations on a connection of its own and closes it. */
export const layer = (options: Client.Options): Layer.Layer<never, Migrator.MigrationError | SqlError.SqlError> =>
  Layer.effectDiscard(
    Effect.scoped(Effect.provide(run, Client.layer({ ...options, maxConnections: 1 }, "invoice-migrate", "none")))
  )

/** The errors of `run`. */
export type Failure = Migrator.MigrationError | SqlError.SqlError
