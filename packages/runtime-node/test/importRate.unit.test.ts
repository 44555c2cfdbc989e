/** An import counts for each of its invoices, and waits where a single request would be refused. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createClient, type Interceptor } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceService } from "@invoice/adapters/connect/gen/invoice/v1/invoice_service_pb"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import * as Ports from "./Ports.ts"
import * as Tokens from "./Tokens.ts"

const key = Tokens.pair("key")

interface Target {
  readonly api: string
  readonly grpc: string
}

const target = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "invoice-import-rate-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const path = join(directory, "public.pem")
    yield* Effect.promise(() => writeFile(path, Tokens.publicPem(key)))
    const { api = "", grpc = "" } = yield* Ports.api({ JWT_PUBLIC_KEY_FILE: path, ...env })
    return { api, grpc }
  })

/** Imports so many invoices; answers the outcome of each. */
type Import = (target: Target, token: string, count: number) => Promise<ReadonlyArray<string | undefined>>

const overRest: Import = async ({ api }, token, count) => {
  const lines = Array.from({ length: count }, () => JSON.stringify(Generators.document()))
  const response = await fetch(`${api}/v1/invoices:import`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/x-ndjson" },
    body: lines.join("\n")
  })
  const text = await response.text()
  assert.strictEqual(response.status, 200, text)
  const results = text.trimEnd().split("\n")
  return results.map((line) => JSON.parse(line).outcome.toLowerCase())
}

const overGrpc: Import = async ({ grpc }, token, count) => {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`)
    return next(request)
  }
  const client = createClient(InvoiceService, createGrpcTransport({ baseUrl: grpc, interceptors: [authorize] }))
  async function* requests() {
    for (let line = 0; line < count; line++) {
      const item = { description: "Work", quantity: "1", unitPrice: "10", total: "10" }
      const invoice = { id: crypto.randomUUID(), customerId: crypto.randomUUID(), amount: "10", currency: "USD" }
      yield { invoice: { ...invoice, items: [item] } }
    }
  }
  const outcomes: Array<string | undefined> = []
  for await (const { outcome } of client.import(requests())) outcomes.push(outcome.case)
  return outcomes
}

const imports: ReadonlyArray<readonly [string, Import]> = [
  ["REST", overRest],
  ["gRPC", overGrpc]
]

/** The status of a request for an invoice that is not there: 404, or 429 when the principal has nothing left. */
const ask = ({ api }: Target, token: string): Promise<number> =>
  fetch(`${api}/v1/invoices/${crypto.randomUUID()}`, { headers: { authorization: `Bearer ${token}` } }).then(
    ({ status }) => status
  )

describe.each(imports)("an import over %s", (_, importAll) => {
  it.live("counts as one request and one more for each invoice", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const reached = yield* target({ QUOTA_PER_DAY: "7" })
        const token = yield* Effect.promise(() => Tokens.sign(key))
        const outcomes = yield* Effect.promise(() => importAll(reached, token, 5))
        assert.deepStrictEqual(outcomes, Array(5).fill("created"))
        assert.deepStrictEqual(
          [yield* Effect.promise(() => ask(reached, token)), yield* Effect.promise(() => ask(reached, token))],
          [404, 429]
        )
        const other = yield* Effect.promise(() => Tokens.sign(key, { sub: "bob" }))
        assert.strictEqual(yield* Effect.promise(() => ask(reached, other)), 404)
      })
    ).pipe(Effect.scoped)
  )

  it.live("waits for its rate, and fails no invoice for it", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const reached = yield* target({ RATE_LIMIT_PER_SECOND: "20", RATE_LIMIT_BURST: "2" })
        const token = yield* Effect.promise(() => Tokens.sign(key))
        const startedAt = performance.now()
        const outcomes = yield* Effect.promise(() => importAll(reached, token, 12))
        assert.deepStrictEqual(outcomes, Array(12).fill("created"))
        // 13 tokens of which 2 were there: the rate itself is the bound, and a slow machine only takes longer
        assert.isAtLeast(performance.now() - startedAt, (11 / 20) * 1_000 - 50)
      })
    ).pipe(Effect.scoped)
  )
})
