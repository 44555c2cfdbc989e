import { gzipSync } from "node:zlib"
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import { create, dataDir, decided, get, post, type Running, start, until } from "./Process.ts"

let directory: Awaited<ReturnType<typeof dataDir>>
let up: Running
let api: string

beforeAll(async () => {
  directory = await dataDir()
  up = await start("up", { DATA_DIR: directory.path })
  api = up.url("api")
})

afterAll(async () => {
  await up?.stop()
  await directory?.remove()
})

/** How many verdicts each invoice of a stopped program has had, from its history. */
const verdictsById = (dataDir: string): Promise<ReadonlyMap<string, number>> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.make({ dataDir })
      const rows = yield* Effect.flatMap(PgClient.PgClient, (sql) =>
        sql.unsafe<{ id: string; verdicts: number }>(
          "select invoice_id id, count(*)::int verdicts from invoice_history where to_status <> 'Pending' group by 1"
        )
      ).pipe(Effect.provide(PgClient.layer({ url, maxConnections: 1 })))
      return new Map(rows.map(({ id, verdicts }) => [id, verdicts]))
    }).pipe(Effect.scoped)
  )

const fields = (text: string): Record<string, unknown> => JSON.parse(text)

describe("invoice up", () => {
  it("answers the wire contract's example as written there, and approves it", async () => {
    const id = "53150a25-02f1-540a-99e7-48e267fd6d13"
    const body = `{"invoice": {"id": "${id}", "customer_id": "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990", "amount": 1050.00,
      "currency": "USD", "due_date": "2025-06-30T00:00:00Z", "created_at": "2025-06-01T15:04:05Z",
      "updated_at": "2025-06-10T10:22:30Z", "items": [
        {"description": "Website Design", "quantity": 1, "unit_price": 1000.0, "total": 1000.0},
        {"description": "Hosting (1 month)", "quantity": 1, "unit_price": 50.0, "total": 50.0}],
      "notes": "Payment due within 30 days."}}`
    const invoice = {
      id,
      customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
      amount: "1050",
      currency: "USD",
      due_date: "2025-06-30T00:00:00Z",
      created_at: "2025-06-01T15:04:05Z",
      updated_at: "2025-06-10T10:22:30Z",
      items: [
        { description: "Website Design", quantity: 1, unit_price: "1000", total: "1000" },
        { description: "Hosting (1 month)", quantity: 1, unit_price: "50", total: "50" }
      ],
      notes: "Payment due within 30 days."
    }
    const created = await post(`${api}/api/invoice/create`, body)
    assert.strictEqual(created.status, 200)
    // defect 9: the reference answers a create with an empty body
    assert.deepStrictEqual(fields(created.text), { invoice })
    assert.deepStrictEqual(await decided(api, id), { invoice, status: "Approved" })
  })

  it("rejects an amount that isn't the sum of the lines, and says why in the answer and the log (defect 4)", async () => {
    const document = Generators.document({ amount: "1050.01" })
    assert.strictEqual((await create(api, document)).status, 200)
    const answer = await decided(api, document["id"])
    assert.strictEqual(answer["status"], "Rejected")
    assert.deepStrictEqual(answer["violations"], [
      {
        code: "BR-CO-10",
        severity: "error",
        path: "/amount",
        message: "the amount is not the sum of the line totals",
        expected: "1050.00",
        actual: "1050.01"
      }
    ])
    await until(
      async () => up.output().split("\n"),
      (lines) => lines.some((line) => line.includes(String(document["id"])) && line.includes("BR-CO-10"))
    )
  })

  it("keeps an amount exactly, as a number and as a string", async () => {
    for (const amount of ["9007199254740993.01", '"9007199254740993.01"', "1050.10", '"0.1"']) {
      const document = Generators.document({ amount: "AMOUNT" })
      const body = JSON.stringify({ invoice: document }).replace('"AMOUNT"', amount)
      assert.strictEqual((await post(`${api}/api/invoice/create`, body)).status, 200)
      const stored = fields((await get(api, document["id"])).text)["invoice"] as Record<string, unknown>
      assert.strictEqual(stored["amount"], amount.replaceAll('"', "").replace(/(\.\d*?)0+$/u, "$1"))
    }
  })

  it("never cuts a decimal off: what the currency can't hold is refused (defect 2)", async () => {
    const document = Generators.document({ amount: "10.5551" })
    const answer = await create(api, document)
    assert.strictEqual(answer.status, 422)
    assert.include(answer.text, '"path":"/invoice/amount"')
    assert.strictEqual((await get(api, document["id"])).status, 404)
    // a unit price has more decimals than the currency, and keeps the fourth
    const exact = Generators.document({
      amount: "0.12",
      items: [{ description: "by weight", quantity: "1", unit_price: "0.1235", total: "0.12" }]
    })
    await create(api, exact)
    assert.include((await get(api, exact["id"])).text, '"unit_price":"0.1235"')
  })

  it("answers 404 for an unknown id, 409 for a known one with other content, 200 for the same again (defect 3)", async () => {
    const document = Generators.document()
    assert.strictEqual((await get(api, document["id"])).status, 404)
    assert.strictEqual((await create(api, document)).status, 200)
    assert.strictEqual((await create(api, document)).status, 200)
    const conflict = await create(api, { ...document, notes: "other" })
    assert.strictEqual(conflict.status, 409)
    assert.strictEqual(conflict.type, "application/problem+json")
  })

  it("gives the lines back in the order given (defect 6)", async () => {
    const items = Array.from({ length: 50 }, (_, index) => ({
      description: `${(index * 37) % 50}`,
      quantity: 1,
      unit_price: "1",
      total: "1"
    }))
    const document = Generators.document({ amount: "50", items })
    await create(api, document)
    const stored = fields((await get(api, document["id"])).text)["invoice"] as { items: typeof items }
    assert.deepStrictEqual(stored.items, items)
  })

  it("explains every kind of garbage with a 4xx that names the field, and stores nothing", async () => {
    const valid = Generators.document()
    const text = (overrides: Readonly<Record<string, unknown>>): string =>
      JSON.stringify({ invoice: { ...valid, ...overrides } })
    const garbage: ReadonlyArray<
      readonly [body: string | Uint8Array<ArrayBuffer>, status: number, says: string, encoding?: string]
    > = [
      ["", 400, "empty"],
      ["{", 400, "not JSON"],
      ["[]", 400, "/invoice"],
      ["null", 400, "/invoice"],
      ['{"invoice": 3}', 400, "/invoice"],
      ["{}", 400, "/invoice"],
      [`${"[".repeat(100_000)}`, 400, "values"],
      [new Uint8Array([0x22, 0xff, 0x22]), 400, "UTF-8"],
      [text({ id: undefined }), 400, "/invoice/id"],
      [text({ id: "x" }), 422, "/invoice/id"],
      [text({ customer_id: 7 }), 400, "/invoice/customer_id"],
      [text({ amount: "1e9" }), 422, "/invoice/amount"],
      [text({ amount: "NaN" }), 422, "/invoice/amount"],
      [text({ amount: "１" }), 422, "/invoice/amount"],
      [text({ amount: "9".repeat(1_000_000) }), 422, "/invoice/amount"],
      [text({ amount: true }), 400, "/invoice/amount"],
      [text({ currency: "XYZ" }), 422, "/invoice/currency"],
      [text({ due_date: "2025-02-30T00:00:00Z" }), 422, "/invoice/due_date"],
      [text({ notes: "a\0b" }), 422, "/invoice/notes"],
      [text({ notes: "a".repeat(5_000) }), 422, "/invoice/notes"],
      [text({ items: "none" }), 400, "/invoice/items"],
      [text({ items: [{}] }), 400, "/invoice/items/0/description"],
      [text({ items: Array.from({ length: 1_001 }, () => ({})) }), 422, "/invoice/items"],
      [text({ notes: "a".repeat(2_000_000) }), 413, "1048576"],
      [new Uint8Array(gzipSync(Buffer.alloc(50_000_000))), 413, "20 times", "gzip"],
      ["not gzip", 400, "gzip", "gzip"],
      ["{}", 415, "content-encoding", "br"]
    ]
    for (const [body, status, says, encoding] of garbage) {
      const answer = await post(`${api}/api/invoice/create`, body, {
        "content-type": "application/json",
        ...(encoding === undefined ? {} : { "content-encoding": encoding })
      })
      const shown = typeof body === "string" ? body.slice(0, 60) : "bytes"
      assert.strictEqual(answer.status, status, `${shown}: ${answer.text.slice(0, 200)}`)
      assert.strictEqual(answer.type, "application/problem+json")
      assert.include(answer.text, says)
    }
    assert.strictEqual((await get(api, valid["id"])).status, 404)
  })

  it("lists every fault of a document at once", async () => {
    const answer = await create(api, { id: "x", amount: "1.234", currency: "USD", due_date: "tomorrow", items: [{}] })
    const { violations } = fields(answer.text) as { violations: ReadonlyArray<{ path: string }> }
    assert.deepStrictEqual(
      violations.map(({ path }) => path),
      [
        "/invoice/id",
        "/invoice/customer_id",
        "/invoice/amount",
        "/invoice/due_date",
        "/invoice/items/0/description",
        "/invoice/items/0/quantity",
        "/invoice/items/0/unit_price",
        "/invoice/items/0/total"
      ]
    )
  })

  it("takes gzip, and answers with it when asked", async () => {
    const document = Generators.document()
    const created = await post(
      `${api}/api/invoice/create`,
      new Uint8Array(gzipSync(JSON.stringify({ invoice: document }))),
      {
        "content-type": "application/json",
        "content-encoding": "gzip"
      }
    )
    assert.strictEqual(created.status, 200)
    const response = await fetch(`${api}/api/invoice/get`, {
      method: "POST",
      body: JSON.stringify({ id: document["id"] }),
      headers: { "content-type": "application/json", "accept-encoding": "gzip" }
    })
    assert.strictEqual(response.headers.get("content-encoding"), "gzip")
    assert.include(await response.text(), String(document["id"]))
  })

  it("answers other paths, methods and media types with problems", async () => {
    assert.strictEqual((await post(`${api}/nothing`, "{}")).status, 404)
    const wrong = await fetch(`${api}/api/invoice/get`)
    assert.strictEqual(wrong.status, 405)
    assert.strictEqual(wrong.headers.get("allow"), "POST")
    assert.strictEqual((await post(`${api}/api/invoice/get`, "{}", { "content-type": "text/xml" })).status, 415)
    assert.strictEqual((await get(api, "x")).status, 422)
  })

  it("is alive and ready, and shows its metrics", async () => {
    for (const base of [api, up.url("metrics")]) {
      assert.strictEqual((await fetch(`${base}/healthz`)).status, 200)
      assert.strictEqual((await fetch(`${base}/readyz`)).status, 200)
    }
    const page = await (await fetch(`${up.url("metrics")}/metrics`)).text()
    for (const name of [
      "http_requests_total",
      "http_request_duration_seconds_bucket",
      "kafka_total_produce_messages",
      "kafka_total_produce_bytes",
      "kafka_total_consumed_messages",
      "total_handled_invoices",
      "process_cpu_seconds_total"
    ]) {
      assert.include(page, name)
    }
  })

  it("refuses a second start on the same data, and says who has it", async () => {
    const refused = await start("up", { DATA_DIR: directory.path }).then(
      () => "",
      (error: Error) => error.message
    )
    assert.include(refused, `pid ${up.child.pid}`)
    assert.include(refused, "DATA_DIR")
    assert.strictEqual((await fetch(`${api}/readyz`)).status, 200)
  })

  it("stops cleanly on SIGTERM under load, and loses nothing it has acknowledged", async () => {
    const other = await dataDir()
    const first = await start("up", { DATA_DIR: other.path })
    const acknowledged: Array<unknown> = []
    const load = Array.from({ length: 400 }, async () => {
      const document = Generators.document()
      const answer = await create(first.url("api"), document).catch(() => undefined)
      if (answer?.status === 200) {
        acknowledged.push(document["id"])
      }
    })
    await until(
      async () => acknowledged.length,
      (count) => count > 20
    )
    assert.strictEqual(await first.stop("SIGTERM"), 0)
    await Promise.all(load)
    const second = await start("up", { DATA_DIR: other.path })
    for (const id of acknowledged) {
      await decided(second.url("api"), id)
    }
    await second.stop()
    await other.remove()
  })

  it("keeps every acknowledged invoice through kill -9, and gives each its one verdict", async () => {
    const other = await dataDir()
    const first = await start("up", { DATA_DIR: other.path })
    const acknowledged: Array<unknown> = []
    const load = Array.from({ length: 200 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 2))
      const document = Generators.document()
      const answer = await create(first.url("api"), document).catch(() => undefined)
      if (answer?.status === 200) {
        acknowledged.push(document["id"])
      }
    })
    await until(
      async () => acknowledged.length,
      (count) => count > 50
    )
    assert.strictEqual(await first.stop("SIGKILL"), "SIGKILL")
    await Promise.all(load)
    // the lock and the Postgres that were left behind are cleaned up
    const second = await start("up", { DATA_DIR: other.path })
    for (const id of acknowledged) {
      await decided(second.url("api"), id)
    }
    assert.strictEqual(await second.stop(), 0)
    const verdicts = await verdictsById(other.path)
    assert.deepStrictEqual(
      acknowledged.filter((id) => verdicts.get(String(id)) !== 1),
      []
    )
    assert.deepStrictEqual([...new Set(verdicts.values())], [1])
    await other.remove()
  })
})
