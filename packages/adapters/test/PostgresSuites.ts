/** What the contract suites have to know of a Postgres database. */
import { PgClient } from "@effect/sql-pg"
import { Effect, type Redacted } from "effect"

export const features = { durable: true, multiProcess: true }

/** Events of as many keys, in one statement: a hundred thousand of them through the store take half a minute. */
const insertEvents = `
insert into outbox_event (lane, topic, key, ver, type, payload, headers)
select 0, 'new_invoice', key, 1, 'invoice.created', convert_to(json_build_object('id', key)::text, 'UTF8'), '{}'
from (select gen_random_uuid()::text as key from generate_series(1, $1::int)) keys`

export const options = (url: Redacted.Redacted) => ({
  fill: (events: number) =>
    Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(insertEvents, [events])).pipe(
      Effect.provide(PgClient.layer({ url, maxConnections: 1 })),
      Effect.asVoid
    ),
  ageKeys: (millis: number) =>
    Effect.flatMap(PgClient.PgClient, (sql) =>
      sql.unsafe("update idempotency_key set at = at - $1::bigint * interval '1 ms'", [BigInt(millis)])
    ).pipe(Effect.provide(PgClient.layer({ url, maxConnections: 1 })), Effect.asVoid),
  /** A snapshot a million transactions on. */
  cursorAfter: (head: string) => head.replaceAll(/\d+/gu, (id) => `${BigInt(id) + 1_000_000n}`)
})
