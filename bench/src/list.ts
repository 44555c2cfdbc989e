/**
 * How long a page of 50 invoices takes for each filter of a list and each pair of them, in a database of many invoices,
 * through the store. For comparison each figure without an index, from the statement that the store had before.
 *
 * `--rows N`: number of invoices, default 3,000,000, which takes 3 GB of disk below TMPDIR and some minutes.
 * `--url postgres://…`: a database that an earlier run filled, instead of a new one.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { PostgresStore } from "@invoice/adapters/postgres"
import { InvoiceStore } from "@invoice/core"
import type { ListQuery } from "@invoice/core/ports/InvoiceStore"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Exit, ManagedRuntime, Redacted, Scope } from "effect"
import { cases } from "./list/Cases.ts"
import * as Rows from "./list/Rows.ts"
import { connect, type Database, migrate } from "./pipeline/Database.ts"

const { values } = parseArgs({ options: { rows: { type: "string", default: "3000000" }, url: { type: "string" } } })
const rows = Number(values.rows)
const calls = 100
const limit = 50

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}

const quantile = (sorted: ReadonlyArray<number>, part: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN).toFixed(1)

/** What the store used to ask, with the plan that a prepared statement had: along the positions, filtering. */
const before = `
select i.id from invoice i
where ($1::text is null or i.status = $1) and ($2::uuid is null or i.customer_id = $2)
  and ($3::text is null or i.currency = $3) and ($4::text is null or i.due_date >= $4)
  and ($5::text is null or i.due_date < $5) and ($6::text is null or i.stored_at >= $6::timestamptz)
  and ($7::text is null or i.stored_at < $7::timestamptz)
order by i.position desc limit ${limit + 1}`

const sortable = (time: string | undefined): string | null =>
  time === undefined ? null : `${time.slice(0, 19)}.000000000Z`

const askBefore = ({ query }: Database, filters: Omit<ListQuery, "limit">): Promise<unknown> =>
  query(before, [
    filters.status ?? null,
    filters.customerId ?? null,
    filters.currency ?? null,
    sortable(filters.dueAfter),
    sortable(filters.dueBefore),
    filters.storedAfter ?? null,
    filters.storedBefore ?? null
  ])

/** Fills a database, and says what its indexes took. */
const fill = async (database: Database): Promise<void> => {
  await migrate(database.url)
  const filled = await timed(() => Rows.write(database, rows))
  say(`${rows} invoices written in ${(filled / 1000).toFixed(0)} s.`)
  const built = await timed(() => migrate(database.url))
  const sizes = await database.query<{ name: string; size: string }>(
    "select indexrelname as name, pg_size_pretty(pg_relation_size(indexrelid)) as size from pg_stat_user_indexes " +
      "where relname = 'invoice' order by 1"
  )
  say(
    `Indexes of lists built in ${(built / 1000).toFixed(1)} s: ${sizes.map(({ name, size }) => `${name} ${size}`).join(", ")}.\n`
  )
  await database.query("vacuum analyze invoice")
}

const measure = async (database: Database): Promise<void> => {
  const runtime = ManagedRuntime.make(PostgresStore.layer({ url: Redacted.make(database.url), maxConnections: 1 }))
  const list = (query: ListQuery) => runtime.runPromise(Effect.flatMap(InvoiceStore, (store) => store.list(query)))
  say(`A page of ${limit}, ${calls} calls each, ${cpus().length} × ${cpus()[0]?.model}.\n`)
  say("| Filters | found | p50 ms | p99 ms | without an index, ms |")
  say("|---|---|---|---|---|")
  await database.query("set plan_cache_mode = force_generic_plan")
  for (const { name, query } of cases) {
    const page = await list({ ...query, limit })
    // a statement gets its final plan at the sixth call
    for (let call = 0; call < 9; call++) await list({ ...query, limit })
    const millis: Array<number> = []
    for (let call = 0; call < calls; call++) millis.push(await timed(() => list({ ...query, limit })))
    millis.sort((one, other) => one - other)
    const without = [await timed(() => askBefore(database, query)), await timed(() => askBefore(database, query))]
    say(
      `| ${name} | ${page.items.length} | ${quantile(millis, 0.5)} | ${quantile(millis, 0.99)} | ${Math.min(...without).toFixed(1)} |`
    )
  }
  await runtime.dispose()
}

const scope = await Effect.runPromise(Scope.make())
const directory = await mkdtemp(join(tmpdir(), "invoice-bench-"))
// Postgres may run as another user, who must be able to enter the directory
await chmod(directory, 0o755)
try {
  const url =
    values.url ??
    Redacted.value(
      (await Effect.runPromise(Scope.provide(EmbeddedPostgres.make({ dataDir: join(directory, "data") }), scope))).url
    )
  const database = connect(url, 1)
  if (values.url === undefined) await fill(database)
  await measure(database)
  await database.disconnect()
} finally {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await rm(directory, { recursive: true, force: true })
}
