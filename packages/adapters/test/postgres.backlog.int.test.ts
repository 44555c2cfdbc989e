import { PgClient } from "@effect/sql-pg"
import { Outbox } from "@invoice/core"
import { Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { expect, inject, test } from "vitest"
import { freshDatabase } from "../../../test/infra/database.ts"
import { Migrations, PostgresOutbox } from "../src/postgres/index.ts"

const query = <Row extends object>(
  url: string,
  statement: string,
  parameters: ReadonlyArray<unknown> = []
): Promise<ReadonlyArray<Row>> =>
  Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement, parameters)).pipe(
      Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))
    )
  )

/** Reads the whole outbox in pages. */
const drain = (limit: number) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const lease = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "test", ttlMillis: 60_000 }))
    const versions: Array<number> = []
    let { position } = lease
    while (true) {
      const page = yield* outbox.read({ lease, position, limit })
      versions.push(...page.events.map(({ version }) => version))
      if (page.events.length === 0 && !page.more) {
        return versions
      }
      position = page.next
    }
  })

test("reading a backlog in pages touches each of its events a few times, however many pages there are", async () => {
  const events = 20_000
  const url = Redacted.value(await freshDatabase(inject("postgresUrl")))
  await Effect.runPromise(Effect.scoped(Layer.build(Migrations.layer({ url: Redacted.make(url) }))))
  await query(
    url,
    `insert into outbox_event (lane, topic, key, ver, type, payload, headers)
     select 0, 't', 'k', n, 't', '\\x00', '{}' from generate_series(1, $1::int) as n`,
    [events]
  )
  const versions = await Effect.runPromise(
    drain(100).pipe(Effect.provide(PostgresOutbox.layer({ url: Redacted.make(url) })))
  )
  expect(versions).toEqual(Array.from({ length: events }, (_, index) => index + 1))
  // the connections are closed, which is when Postgres counts what they did
  const fetched = async (): Promise<number> => {
    const [row] = await query<{ fetched: number }>(
      url,
      "select coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::float8 as fetched from pg_stat_user_tables where relname like 'outbox_event%'"
    )
    return row?.fetched ?? 0
  }
  await expect.poll(fetched, { timeout: 20_000 }).toBeGreaterThanOrEqual(events)
  expect(await fetched()).toBeLessThan(5 * events)
})
