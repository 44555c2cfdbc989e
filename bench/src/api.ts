/**
 * How fast REST creates and reads, compared with baselines of the same run: pgbench with the same statement, one
 * transaction each, and a bare node:http server that answers the same bytes. REST v1, with and without a token, is
 * compared with the reference's routes. Needs `wrk` and `pgbench` on the path.
 *
 * BENCH_SECONDS: how long each figure is measured, default 8.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Exit, Redacted, Scope } from "effect"
import * as Wrk from "./Wrk.ts"

const run = promisify(execFile)
const seconds = Number(process.env["BENCH_SECONDS"] ?? 8)

const directory = await mkdtemp(join(tmpdir(), "invoice-bench-"))
// Postgres may run as another user, who must be able to enter the directory
await chmod(directory, 0o755)

const wrk = (url: string, request: Wrk.Request, connections: number): Promise<Wrk.Figure> =>
  Wrk.measure(url, request, { connections, directory, seconds })

const invoice =
  '{"id":"ID","customer_id":"c78aef21-ae9f-4561-a2c9-3b7a7ea2f990","amount":1050.00,"currency":"USD",' +
  '"due_date":"2025-06-30T00:00:00Z","created_at":"2025-06-01T15:04:05Z","updated_at":"2025-06-10T10:22:30Z","items":[' +
  '{"description":"Website Design","quantity":1,"unit_price":1000.0,"total":1000.0},' +
  '{"description":"Hosting (1 month)","quantity":1,"unit_price":50.0,"total":50.0}],"notes":"Payment due within 30 days."}'

const known = "53150a25-02f1-540a-99e7-48e267fd6d13"

const create: Wrk.Request = { method: "POST", path: "/api/invoice/create", body: `{"invoice":${invoice}}` }
const get: Wrk.Request = { method: "POST", path: "/api/invoice/get", body: `{"id":"${known}"}` }
const createV1: Wrk.Request = { method: "POST", path: "/v1/invoices", body: invoice }
const getV1: Wrk.Request = { method: "GET", path: `/v1/invoices/${known}` }
const listV1: Wrk.Request = { method: "GET", path: "/v1/invoices?limit=50" }
const withHeaders = (request: Wrk.Request, headers: Readonly<Record<string, string>>): Wrk.Request => ({
  ...request,
  headers
})

/** What the store's create statement does for one invoice with two lines. */
const statement = `\\set r random(1, 9223372036854775806)
with input as (select md5(:r::text || '-' || :client_id::text)::uuid as id),
inserted as (
  insert into invoice (id, customer_id, currency, amount, due_date, created_at, updated_at, notes)
  select id, 'c78aef21-ae9f-4561-a2c9-3b7a7ea2f990', 'USD', 1050, '2025-06-30T00:00:00.000000000Z',
    '2025-06-01T15:04:05.000000000Z', '2025-06-10T10:22:30.000000000Z', 'Payment due within 30 days.' from input
  on conflict (id) do nothing returning id, stored_at
), lines as (
  insert into invoice_line (invoice_id, line_no, description, quantity, unit_price, total)
  select id, l.* from inserted, (values (0, 'Website Design', 1, 1000, 1000), (1, 'Hosting (1 month)', 1, 50, 50)) as l
), history as (
  insert into invoice_history (invoice_id, version, from_status, to_status, at, by)
  select id, 1, null, 'Pending', stored_at, 'api' from inserted
), events as (
  insert into outbox_event (lane, topic, key, ver, type, payload, headers)
  select 0, 'new_invoice', id::text, 1, 'invoice.created',
    convert_to('{"id":"' || id || '"}', 'UTF8'), '{}' from inserted
)
select id, stored_at from inserted;
`

const pgbench = async (url: string, clients: number): Promise<number> => {
  const file = join(directory, "create.sql")
  await writeFile(file, statement)
  const threads = Math.min(2, clients)
  const { stdout } = await run("pgbench", [
    ...["-n", "-M", "prepared", "-f", file],
    ...["-c", `${clients}`, "-j", `${threads}`, "-T", `${seconds}`, url]
  ])
  const rate = /tps = ([\d.]+)/u.exec(stdout)?.[1]
  if (rate === undefined) {
    throw new Error(`pgbench printed no rate: ${stdout}`)
  }
  return Number(rate)
}

const echo = createServer((request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => response.end(Buffer.concat(chunks)))
})
await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve))
const address = echo.address()
const echoUrl = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`

const scope = await Effect.runPromise(Scope.make())
const { url } = await Effect.runPromise(
  Scope.provide(EmbeddedPostgres.make({ dataDir: join(directory, "data") }), scope)
)
const entry = fileURLToPath(new URL("../../packages/runtime-node/src/bin/invoice.ts", import.meta.url))
const invoiceProgram = ["--conditions=source", entry]
const children: Array<ChildProcess> = []

/** Starts an api on the database, and answers its URL. */
const startApi = async (env: Readonly<Record<string, string>>): Promise<string> => {
  const api = spawn(process.execPath, [...invoiceProgram, "api"], {
    env: {
      PATH: process.env["PATH"],
      DATABASE_URL: Redacted.value(url),
      HTTP_ADDRESS: "127.0.0.1:0",
      GRPC_PORT: "0",
      PROMETHEUS_PORT: "0",
      ...env
    },
    stdio: ["ignore", "pipe", "inherit"]
  })
  children.push(api)
  return await new Promise<string>((resolve, reject) => {
    api.stdout.on("data", (chunk: Buffer) => {
      const found = /api (http:\S+)/u.exec(chunk.toString())?.[1]
      if (found !== undefined) resolve(found)
    })
    api.once("exit", () => reject(new Error("the api program ended")))
  })
}

const secret = { JWT_SECRET: "a secret of the benchmark, of 32 bytes or more" }
const apiUrl = await startApi({})
const { stdout: token } = await run(process.execPath, [...invoiceProgram, "token"], {
  env: { PATH: process.env["PATH"], ...secret }
})
const authorization = { authorization: `Bearer ${token.trim()}` }
const guardedUrl = await startApi(secret)

const seeded = await fetch(`${apiUrl}${createV1.path}`, {
  method: "POST",
  body: invoice.replace("ID", known),
  headers: { "content-type": "application/json" }
})
if (!seeded.ok) {
  throw new Error(`can't create the invoice to get: ${await seeded.text()}`)
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const row = (name: string, connections: number, { failed, p50, p99, rate }: Wrk.Figure, ratio: string): void =>
  say(
    `| ${name} | ${connections} | ${Math.round(rate)} | ${p50.toFixed(1)} | ${p99.toFixed(1)} | ${ratio} | ${failed} |`
  )

say(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${seconds} s a figure.\n`)
say("| What | connections | per second | p50 ms | p99 ms | × baseline of this run | failed |")
say("|---|---|---|---|---|---|---|")
const ratio = (figure: Wrk.Figure, baseline: Wrk.Figure, name: string): string =>
  `${(figure.rate / baseline.rate).toFixed(2)} × ${name}`

/** REST v1 beside the reference's routes. */
const compareV1 = async (connections: number, created: Wrk.Figure, got: Wrk.Figure): Promise<void> => {
  const v1 = await wrk(apiUrl, createV1, connections)
  row("v1 create", connections, v1, ratio(v1, created, "create"))
  const keyed = await wrk(apiUrl, withHeaders(createV1, { "idempotency-key": "ID" }), connections)
  row("v1 create with an Idempotency-Key", connections, keyed, ratio(keyed, v1, "v1 create"))
  const guarded = await wrk(guardedUrl, withHeaders(createV1, authorization), connections)
  row("v1 create with a token", connections, guarded, ratio(guarded, created, "create"))
  const read = await wrk(apiUrl, getV1, connections)
  row("v1 get", connections, read, ratio(read, got, "get"))
  const guardedRead = await wrk(guardedUrl, withHeaders(getV1, authorization), connections)
  row("v1 get with a token", connections, guardedRead, ratio(guardedRead, got, "get"))
  const list = await wrk(apiUrl, listV1, connections)
  row("v1 list of 50", connections, list, "")
  const guardedList = await wrk(guardedUrl, withHeaders(listV1, authorization), connections)
  row("v1 list of 50 with a token", connections, guardedList, ratio(guardedList, list, "v1 list"))
}

try {
  // runs without a measurement warm up the compiler and the caches
  for (const request of [create, createV1]) await wrk(apiUrl, request, 32)
  await wrk(guardedUrl, withHeaders(createV1, authorization), 32)
  for (const connections of [1, 32, 128]) {
    const created = await wrk(apiUrl, create, connections)
    // the embedded Postgres takes 100 connections
    const clients = Math.min(connections, 60)
    const baseline = await pgbench(Redacted.value(url), clients)
    say(`| pgbench, the same statement a transaction | ${clients} | ${Math.round(baseline)} | | | | |`)
    row("create", connections, created, `${(created.rate / baseline).toFixed(2)} × pgbench`)
    const got = await wrk(apiUrl, get, connections)
    const bare = await wrk(echoUrl, { ...get, path: "/" }, connections)
    row("bare node:http echo", connections, bare, "")
    row("get", connections, got, ratio(got, bare, "echo"))
    if (connections === 32) await compareV1(connections, created, got)
  }
} finally {
  for (const child of children) {
    child.kill("SIGTERM")
    await new Promise((resolve) => child.once("exit", resolve))
  }
  echo.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await rm(directory, { recursive: true, force: true })
}
