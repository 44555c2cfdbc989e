/** The tables of `Inbox`: how far the consumers of applications have come, beside what they write. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** They change nothing when the tables exist: an application's own database gets them from `Inbox.ensure`. */
const statements = [
  // one row for each partition of a consumer, updated with every batch
  `create table if not exists inbox_offset (
    consumer text not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (consumer, topic, partition)
  ) with (fillfactor = 10)`,
  `create table if not exists inbox_version (
    consumer text not null,
    topic text not null,
    key text not null,
    version bigint not null,
    primary key (consumer, topic, key)
  )`
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
