/** Where the store writes to prove that it takes writes. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = [
  // one row, updated by each probe
  `create table write_probe (
    one boolean primary key default true check (one),
    -- when the last probe succeeded
    at timestamptz not null
  ) with (fillfactor = 10)`
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
