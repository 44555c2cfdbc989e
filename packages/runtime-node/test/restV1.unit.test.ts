import { gunzipSync, gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import { InvoiceStore, StoreUnavailable } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer } from "effect"
import { call, send, serve } from "./RestV1.ts"

const live = (name: string, test: (url: string) => Promise<void>, store?: Layer.Layer<InvoiceStore>) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const url = yield* serve(store)
      yield* Effect.promise(() => test(url))
    })
  )

const failing = (kind: StoreUnavailable["kind"]) =>
  Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) => {
      const fails = Effect.fail(new StoreUnavailable({ kind, cause: new Error("password=hunter2") }))
      return { ...store, create: () => fails, get: () => fails, list: () => fails, history: () => fails, head: fails }
    })
  ).pipe(Layer.provide(Memory.layer))

const id = "53150a25-02f1-540a-99e7-48e267fd6d13"

describe("creating over REST v1", () => {
  live("answers 201 with Location, ETag and the invoice, and 200 for the same invoice again", async (url) => {
    const document = Generators.document({ id })
    const first = await send(`${url}/v1/invoices`, document)
    assert.strictEqual(first.status, 201, first.text)
    assert.strictEqual(first.headers.get("location"), `/v1/invoices/${id}`)
    assert.strictEqual(first.headers.get("etag"), '"1"')
    const { stored_at, ...invoice } = JSON.parse(first.text)
    assert.match(stored_at, /^\d{4}-.*Z$/u)
    assert.deepStrictEqual(invoice, {
      ...document,
      amount: "1050",
      items: [
        { description: "Website Design", quantity: "1", unit_price: "1000", total: "1000" },
        { description: "Hosting (1 month)", quantity: "1", unit_price: "50", total: "50" }
      ],
      status: "Pending",
      version: 1,
      violations: []
    })
    const again = await send(`${url}/v1/invoices`, document)
    assert.deepStrictEqual([again.status, again.text], [200, first.text])
  })

  live("reads the digits of a number as they were sent", async (url) => {
    const text = JSON.stringify(Generators.document()).replace('"1050.00"', "9007199254740993.01")
    const { status, text: answer } = await send(`${url}/v1/invoices`, text)
    assert.strictEqual(status, 201, answer)
    assert.strictEqual(JSON.parse(answer).amount, "9007199254740993.01")
  })

  live("leaves the body out for Prefer: return=minimal", async (url) => {
    for (const [status, prefer] of [
      [201, "respond-async, return=minimal"],
      [200, "return=minimal"]
    ] as const) {
      const answer = await send(`${url}/v1/invoices`, Generators.document({ id }), { prefer })
      assert.deepStrictEqual([answer.status, answer.text], [status, ""])
      assert.strictEqual(answer.headers.get("preference-applied"), "return=minimal")
      assert.strictEqual(answer.headers.get("location"), `/v1/invoices/${id}`)
    }
  })

  live("makes an id for an invoice that has none, a UUIDv7", async (url) => {
    const { id: _, ...document } = Generators.document()
    const { headers, status, text } = await send(`${url}/v1/invoices`, document)
    const made = JSON.parse(text).id
    assert.strictEqual(status, 201)
    assert.match(made, /^[0-9a-f]{8}-[0-9a-f]{4}-7/u)
    assert.strictEqual(headers.get("location"), `/v1/invoices/${made}`)
    assert.strictEqual((await send(`${url}/v1/invoices:validate`, document)).status, 200)
  })

  live("answers 100 requests at once with one key identically, and makes one invoice", async (url) => {
    const { id: _, ...document } = Generators.document()
    const headers = { "idempotency-key": '"order-17"' }
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(`${url}/v1/invoices`, document, headers)))
    const shown = answers.map(({ headers, status, text }) => `${status} ${headers.get("location")} ${text}`)
    assert.deepStrictEqual(new Set(shown).size, 1)
    assert.strictEqual(answers[0]?.status, 201)
    assert.strictEqual(JSON.parse((await call(`${url}/v1/invoices`)).text).invoices.length, 1)
    const other = await send(`${url}/v1/invoices`, { ...document, notes: "other" }, headers)
    assert.deepStrictEqual([other.status, JSON.parse(other.text).type], [422, "/problems/idempotency-key-reused"])
    const invalid = await send(`${url}/v1/invoices`, document, { "idempotency-key": "two words" })
    assert.deepStrictEqual([invalid.status, JSON.parse(invalid.text).type], [400, "/problems/bad-request"])
  })

  live("lists every fault of a document with its pointer", async (url) => {
    const malformed = await send(`${url}/v1/invoices`, { id: "5", customer_id: 6, amuont: "1" })
    assert.strictEqual(malformed.status, 400)
    const problem = JSON.parse(malformed.text)
    assert.strictEqual(problem.type, "/problems/malformed-invoice")
    assert.deepStrictEqual(
      problem.violations.map(({ code, path }: { code: string; path: string }) => `${code} ${path}`),
      [
        "INV-UUID /id",
        "INV-TYPE /customer_id",
        "INV-MISSING /amount",
        "INV-MISSING /currency",
        "INV-MISSING /items",
        "INV-FIELD /amuont"
      ]
    )
    const invalid = await send(`${url}/v1/invoices`, Generators.document({ amount: "10.555" }))
    assert.deepStrictEqual([invalid.status, JSON.parse(invalid.text).type], [422, "/problems/invalid-invoice"])
  })

  live("answers 409 when the id has other content", async (url) => {
    await send(`${url}/v1/invoices`, Generators.document({ id }))
    const { headers, status, text } = await send(`${url}/v1/invoices`, Generators.document({ id, notes: "other" }))
    assert.deepStrictEqual([status, JSON.parse(text).type], [409, "/problems/invoice-conflict"])
    assert.strictEqual(headers.get("content-type"), "application/problem+json")
  })

  live("takes gzip, and refuses other encodings, other types, broken and large bodies", async (url) => {
    const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>) =>
      call(`${url}/v1/invoices`, { method: "POST", body, headers })
    const json = { "content-type": "application/json" }
    const bytes = new Uint8Array(gzipSync(JSON.stringify(Generators.document())))
    assert.strictEqual((await post(bytes, { ...json, "content-encoding": "gzip" })).status, 201)
    assert.strictEqual((await post(bytes, { ...json, "content-encoding": "br" })).status, 415)
    assert.strictEqual((await post("{}", { "content-type": "text/plain" })).status, 415)
    assert.strictEqual((await post("{", json)).status, 400)
    assert.strictEqual((await post(" ".repeat(1_048_577), json)).status, 413)
  })
})

describe("reading over REST v1", () => {
  live("answers conditional requests by the version", async (url) => {
    await send(`${url}/v1/invoices`, Generators.document({ id }))
    const get = (headers: Record<string, string>, method = "GET") =>
      call(`${url}/v1/invoices/${id.toUpperCase()}`, { method, headers })
    const statuses = async (name: string, values: ReadonlyArray<string>) =>
      Promise.all(values.map(async (value) => (await get({ [name]: value })).status))
    assert.deepStrictEqual(
      await statuses("if-none-match", ['"1"', '"7", W/"1"', "*", '"2"', "1"]),
      [304, 304, 304, 200, 200]
    )
    assert.deepStrictEqual(
      await statuses("if-match", ['"1"', '"0", "1"', "*", '"2"', 'W/"1"']),
      [200, 200, 200, 412, 412]
    )
    const unchanged = await get({ "if-none-match": '"1"' })
    assert.deepStrictEqual([unchanged.text, unchanged.headers.get("etag")], ["", '"1"'])
    const stale = await get({ "if-match": '"2"' })
    assert.strictEqual(JSON.parse(stale.text).type, "/problems/stale-version")
    const head = await get({}, "HEAD")
    assert.deepStrictEqual([head.status, head.text, head.headers.get("etag")], [200, "", '"1"'])
  })

  live("answers 404 for an unknown invoice, and 400 for what is no id", async (url) => {
    for (const path of [`/v1/invoices/${id}`, `/v1/invoices/${id}/history`]) {
      const { status, text } = await call(url + path)
      assert.deepStrictEqual([status, JSON.parse(text).type], [404, "/problems/invoice-not-found"])
    }
    const { status, text } = await call(`${url}/v1/invoices/5`)
    assert.deepStrictEqual([status, JSON.parse(text).type], [400, "/problems/bad-request"])
  })

  live("answers the history with the reasons", async (url) => {
    await send(`${url}/v1/invoices`, Generators.document({ id }))
    const { status, text } = await call(`${url}/v1/invoices/${id}/history`)
    assert.strictEqual(status, 200)
    const { history } = JSON.parse(text)
    assert.deepStrictEqual(
      history.map(({ at: _, ...entry }: { at: string }) => entry),
      [{ version: 1, to: "Pending", by: "api", violations: [] }]
    )
  })

  live("walks the pages by Link and by cursor, each invoice once", async (url) => {
    const ids = new Set<string>()
    for (let made = 0; made < 7; made++) {
      ids.add(JSON.parse((await send(`${url}/v1/invoices`, Generators.document())).text).id)
    }
    const seen: Array<string> = []
    let path: string | undefined = "/v1/invoices?currency=USD&limit=3"
    let pages = 0
    while (path !== undefined) {
      const { headers, text } = await call(url + path)
      const page = JSON.parse(text)
      seen.push(...page.invoices.map((invoice: { id: string }) => invoice.id))
      path = /^<(.*)>; rel="next"$/u.exec(headers.get("link") ?? "")?.[1]
      assert.strictEqual(path === undefined, page.next_cursor === undefined)
      pages++
    }
    assert.deepStrictEqual([pages, seen.length, new Set(seen)], [3, 7, ids])
  })

  live("filters, and refuses parameters that it can't read", async (url) => {
    const { customer_id: customer } = Generators.document()
    await send(`${url}/v1/invoices`, Generators.document())
    const count = async (query: string) => {
      const { status, text } = await call(`${url}/v1/invoices?${query}`)
      return status === 200 ? JSON.parse(text).invoices.length : `${status} ${JSON.parse(text).type}`
    }
    assert.strictEqual(await count(`status=Pending&customer_id=${String(customer).toUpperCase()}&currency=USD`), 1)
    assert.strictEqual(await count("status=Approved"), 0)
    assert.strictEqual(await count("currency=EUR"), 0)
    for (const query of [
      "limit=0",
      "limit=201",
      "limit=x",
      "limit=",
      "status=pending",
      "customer_id=7",
      "currency=usd",
      "status=Pending&status=Approved"
    ]) {
      assert.strictEqual(await count(query), "400 /problems/bad-request", query)
    }
    const times = [
      "due_after=2025-06-30T00:00:00Z",
      "due_before=2025-07-01T02:00:00%2B02:00",
      "created_after=2025-01-01T00:00:00Z"
    ]
    assert.strictEqual(await count(times.join("&")), 1)
    assert.strictEqual(await count("due_before=2025-06-30T00:00:00Z"), 0)
    assert.strictEqual(await count("created_before=2025-06-30T00:00:00Z"), 0)
    assert.strictEqual(await count("due_after=2025-02-30T00:00:00Z"), "400 /problems/bad-request")
    assert.strictEqual(await count("cursor=made-up"), "400 /problems/invalid-cursor")
  })

  live("validates without storing", async (url) => {
    const { status, text } = await send(`${url}/v1/invoices:validate`, Generators.document({ id, amount: "1050.01" }))
    const verdict = JSON.parse(text)
    assert.deepStrictEqual([status, verdict.status, verdict.by], [200, "Rejected", "core@1"])
    assert.deepStrictEqual(verdict.violations[0].code, "BR-CO-10")
    assert.strictEqual((await call(`${url}/v1/invoices/${id}`)).status, 404)
  })
})

describe("every answer of REST v1", () => {
  live("is a problem when there is no such path or method", async (url) => {
    for (const path of [
      "/v1",
      "/v1/invoices/",
      "/v1//invoices",
      "/v1/invoices:nothing",
      `/v1/invoices/${id}/x`,
      "/V1/invoices"
    ]) {
      const { status, text } = await call(url + path)
      assert.deepStrictEqual([path, status, JSON.parse(text).type], [path, 404, "/problems/not-found"])
    }
    const answers = await Promise.all(
      ["/v1/invoices", `/v1/invoices/${id}`, "/v1/invoices:import", "/docs"].map((path) =>
        call(url + path, { method: "DELETE" })
      )
    )
    assert.deepStrictEqual(
      answers.map(({ headers, status }) => `${status} ${headers.get("allow")}`),
      ["405 POST, GET, HEAD", "405 GET, HEAD", "405 POST", "405 GET, HEAD"]
    )
  })

  live(
    "says 503 and when to come back while the store is away, and nothing of the cause",
    async (url) => {
      const answers = [
        await send(`${url}/v1/invoices`, Generators.document()),
        await call(`${url}/v1/invoices`),
        await call(`${url}/v1/invoices/${id}`),
        await call(`${url}/v1/invoices/${id}/history`),
        await call(`${url}/v1/events`)
      ]
      for (const { headers, status, text } of answers) {
        assert.deepStrictEqual([status, headers.get("retry-after")], [503, "1"])
        assert.strictEqual(JSON.parse(text).type, "/problems/unavailable")
        assert.notInclude(text, "hunter2")
      }
    },
    failing("unavailable")
  )

  live(
    "is a problem with an id and nothing else after a defect",
    async (url) => {
      const { status, text } = await call(`${url}/v1/invoices/${id}`)
      const { instance, ...problem } = JSON.parse(text)
      assert.strictEqual(status, 500)
      assert.match(instance, /[0-9a-f-]{36}/u)
      assert.deepStrictEqual(problem, {
        type: "/problems/internal-error",
        status: 500,
        title: "Internal Server Error",
        detail: "something went wrong on our side"
      })
    },
    failing("permanent")
  )

  live("is compressed when the client asks for it", async (url) => {
    const http = await import("node:http")
    await send(`${url}/v1/invoices`, Generators.document({ id }))
    const [encoding, body] = await new Promise<readonly [string | undefined, Buffer]>((resolve) => {
      http.get(`${url}/v1/invoices/${id}`, { headers: { "accept-encoding": "gzip" } }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk) => chunks.push(chunk))
        response.on("end", () => resolve([response.headers["content-encoding"], Buffer.concat(chunks)]))
      })
    })
    assert.strictEqual(encoding, "gzip")
    assert.strictEqual(JSON.parse(gunzipSync(body).toString()).id, id)
  })
})
