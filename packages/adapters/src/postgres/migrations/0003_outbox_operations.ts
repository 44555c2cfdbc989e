/** What the outbox needs for its operation: the number of lanes, the database it belongs to, and what was emptied. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = [
  // one row
  `create table outbox_state (
    one boolean primary key default true check (one),
    lanes integer not null default 1,
    -- the database system that the transaction ids of events and positions belong to
    system_identifier bigint not null,
    -- how many events a leaf holds
    leaf_size bigint not null default 10000000,
    -- below this number events may be gone, and the highest transaction id of those that are
    emptied_seq bigint not null default 0,
    emptied_xid xid8 not null default '0'
  )`,
  `insert into outbox_state (system_identifier) select system_identifier from pg_control_system()`,
  `create table outbox_emptied_leaf (name text primary key, at timestamptz not null default clock_timestamp())`
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
