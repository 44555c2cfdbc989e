/** The idempotency keys of creates. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = [
  `create table idempotency_key (
    principal text collate "C" not null,
    key text collate "C" not null,
    -- SHA-256 of what the client asked for
    hash bytea not null,
    -- no foreign key: its check would lock a row of invoice for each key, and invoices are never deleted
    invoice_id uuid not null,
    -- the version of an invoice that was there already when the client asked; null when the request created it
    found_version bigint,
    at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
    primary key (principal, key)
  ) with (autovacuum_vacuum_scale_factor = 0.01)`,
  // to find the keys that are to be forgotten
  `create index idempotency_key_at on idempotency_key (at)`
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
