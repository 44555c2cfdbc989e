/** For how long a lane was leased, so that a standby can tell a lease that is over from a clock that was set back. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = ["alter table outbox_cursor add column lease_millis integer"]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
