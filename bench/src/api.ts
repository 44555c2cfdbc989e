/**
 * How fast the REST API creates and reads, compared with two baselines of the same run: pgbench with the same
 * statement, one transaction each, and a bare node:http server that answers the same bytes. Needs `wrk` and `pgbench`
 * on the path.
 *
 * BENCH_SECONDS: how long each figure is measured, default 8.
 */
import { execFile, spawn } from "node:child_process"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Exit, Redacted, Scope } from "effect"

const run = promisify(execFile)
const seconds = Number(process.env["BENCH_SECONDS"] ?? 8)

interface Figure {
  readonly rate: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly failed: number
}

const directory = await mkdtemp(join(tmpdir(), "invoice-bench-"))
// Postgres may run as another user, who must be able to enter the directory
await chmod(directory, 0o755)

/** A wrk script that posts a body, with a fresh UUID wherever it says ID. */
const script = (path: string, body: string): string => `
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init()
  math.randomseed(os.time() * 1000 + number * 7919)
  prefix = string.format("%08x", math.random(0, 2147483647))
  counter = 0
end
local headers = { ["content-type"] = "application/json" }
function request()
  counter = counter + 1
  local id = string.format("%s-%04x-4%03x-8000-%012x", prefix, number, math.random(0, 4095), counter)
  return wrk.format("POST", "${path}", headers, (string.gsub([==[${body}]==], "ID", id)))
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("FIGURE %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.status + errors.connect + errors.read + errors.timeout))
end`

const wrk = async (url: string, path: string, body: string, connections: number): Promise<Figure> => {
  const file = join(directory, "script.lua")
  await writeFile(file, script(path, body))
  const { stdout } = await run("wrk", [
    `-t${Math.min(2, connections)}`,
    `-c${connections}`,
    `-d${seconds}s`,
    "-s",
    file,
    url
  ])
  const figures = /FIGURE (.*)/u.exec(stdout)?.[1]?.split(" ").map(Number)
  if (figures === undefined) {
    throw new Error(`wrk printed no figures: ${stdout}`)
  }
  const [requests = 0, micros = 1, p50 = 0, p99 = 0, failed = 0] = figures
  return { rate: requests / (micros / 1e6), p50: p50 / 1000, p99: p99 / 1000, failed }
}

const createBody =
  '{"invoice":{"id":"ID","customer_id":"c78aef21-ae9f-4561-a2c9-3b7a7ea2f990","amount":1050.00,"currency":"USD",' +
  '"due_date":"2025-06-30T00:00:00Z","created_at":"2025-06-01T15:04:05Z","updated_at":"2025-06-10T10:22:30Z","items":[' +
  '{"description":"Website Design","quantity":1,"unit_price":1000.0,"total":1000.0},' +
  '{"description":"Hosting (1 month)","quantity":1,"unit_price":50.0,"total":50.0}],"notes":"Payment due within 30 days."}}'

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
const api = spawn(process.execPath, ["--conditions=source", entry, "api"], {
  env: {
    PATH: process.env["PATH"],
    DATABASE_URL: Redacted.value(url),
    HTTP_ADDRESS: "127.0.0.1:0",
    PROMETHEUS_PORT: "0"
  },
  stdio: ["ignore", "pipe", "inherit"]
})
const apiUrl = await new Promise<string>((resolve, reject) => {
  api.stdout.on("data", (chunk: Buffer) => {
    const found = /api (http:\S+)/u.exec(chunk.toString())?.[1]
    if (found !== undefined) {
      resolve(found)
    }
  })
  api.once("exit", () => reject(new Error("the api program ended")))
})

const known = "53150a25-02f1-540a-99e7-48e267fd6d13"
const seeded = await fetch(`${apiUrl}/api/invoice/create`, {
  method: "POST",
  body: createBody.replace("ID", known),
  headers: { "content-type": "application/json" }
})
if (!seeded.ok) {
  throw new Error(`can't create the invoice to get: ${await seeded.text()}`)
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const row = (name: string, connections: number, { failed, p50, p99, rate }: Figure, ratio: string): void =>
  say(
    `| ${name} | ${connections} | ${Math.round(rate)} | ${p50.toFixed(1)} | ${p99.toFixed(1)} | ${ratio} | ${failed} |`
  )

say(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${seconds} s a figure.\n`)
say("| What | connections | per second | p50 ms | p99 ms | × baseline of this run | failed |")
say("|---|---|---|---|---|---|---|")
try {
  // a first run without a measurement warms up the compiler and the caches
  await wrk(apiUrl, "/api/invoice/create", createBody, 32)
  for (const connections of [1, 32, 128]) {
    const create = await wrk(apiUrl, "/api/invoice/create", createBody, connections)
    // the embedded Postgres takes 100 connections
    const clients = Math.min(connections, 80)
    const baseline = await pgbench(Redacted.value(url), clients)
    say(`| pgbench, the same statement a transaction | ${clients} | ${Math.round(baseline)} | | | | |`)
    row("create", connections, create, `${(create.rate / baseline).toFixed(2)} × pgbench`)
    const get = await wrk(apiUrl, "/api/invoice/get", `{"id":"${known}"}`, connections)
    const bare = await wrk(echoUrl, "/", `{"id":"${known}"}`, connections)
    row("bare node:http echo", connections, bare, "")
    row("get", connections, get, `${(get.rate / bare.rate).toFixed(2)} × echo`)
  }
} finally {
  api.kill("SIGTERM")
  await new Promise((resolve) => api.once("exit", resolve))
  echo.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await rm(directory, { recursive: true, force: true })
}
