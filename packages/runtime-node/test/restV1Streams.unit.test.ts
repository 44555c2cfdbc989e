import { once } from "node:events"
import { request } from "node:http"
import { setTimeout } from "node:timers/promises"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import { CursorExpired, InvoiceStore, StoreUnavailable } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Result } from "effect"
import { events } from "./EventStream.ts"
import { call, send, serve } from "./RestV1.ts"

const live = (name: string, test: (url: string) => Promise<void>, store?: Layer.Layer<InvoiceStore>) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const url = yield* serve(store)
      yield* Effect.promise(() => test(url))
    })
  )

const importLines = async (url: string, body: string | Uint8Array<ArrayBuffer>, headers = {}) => {
  const answer = await call(`${url}/v1/invoices:import`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson", ...headers },
    body
  })
  return answer.status === 200
    ? answer.text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
    : [`${answer.status} ${JSON.parse(answer.text).type}`]
}

const line = (overrides?: Readonly<Record<string, unknown>>) => JSON.stringify(Generators.document(overrides))

describe("an import over REST v1", () => {
  live("answers a line for each invoice, in order, and goes on behind a line at fault", async (url) => {
    const first = line()
    const { id: _, ...unnamed } = Generators.document()
    const body = [
      first,
      "",
      "{not json",
      line({ amount: "10.555" }),
      JSON.stringify(unnamed),
      `{"id":"${"x".repeat(1_048_576)}"}`,
      first,
      line({ id: JSON.parse(first).id, notes: "other" }),
      line()
    ].join("\n")
    const results = await importLines(url, body)
    assert.deepStrictEqual(
      results.map(({ line, outcome, problem }) => `${line} ${outcome} ${problem?.type ?? ""}`.trim()),
      [
        "1 Created",
        "3 Failed /problems/malformed-invoice",
        "4 Failed /problems/invalid-invoice",
        "5 Failed /problems/malformed-invoice",
        "6 Failed /problems/content-too-large",
        "7 Unchanged",
        "8 Failed /problems/invoice-conflict",
        "9 Created"
      ]
    )
    assert.strictEqual(results[0].id, JSON.parse(first).id)
    assert.strictEqual(results[2].problem.violations[0].path, "/amount")
  })

  live("takes gzip, an empty body and a last line without an end; refuses other types and encodings", async (url) => {
    const body = `${line()}\n${line()}`
    const gzip = { "content-encoding": "gzip" }
    assert.strictEqual((await importLines(url, new Uint8Array(gzipSync(body)), gzip)).length, 2)
    assert.strictEqual(
      (await call(`${url}/v1/invoices:import`, { method: "POST", headers: { "content-type": "application/x-ndjson" } }))
        .text,
      ""
    )
    assert.deepStrictEqual(await importLines(url, body, { "content-type": "application/json" }), [
      "415 /problems/unsupported-media-type"
    ])
    assert.deepStrictEqual(await importLines(url, body, { "content-encoding": "br" }), [
      "415 /problems/unsupported-media-type"
    ])
  })

  live("reads numbers without loss, and keeps whole a character that two chunks share", async (url) => {
    const text = line({ notes: "é".repeat(2_000) }).replace('"1050.00"', "9007199254740993.01")
    const bytes = new TextEncoder().encode(text)
    const results = await importLines(url, bytes)
    const { text: stored } = await call(`${url}/v1/invoices/${results[0].id}`)
    assert.strictEqual(JSON.parse(stored).amount, "9007199254740993.01")
    assert.strictEqual(JSON.parse(stored).notes, "é".repeat(2_000))
  })

  const away = Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) => ({
      ...store,
      create: () => Effect.fail(new StoreUnavailable({ kind: "unavailable", cause: new Error("hunter2") }))
    }))
  ).pipe(Layer.provide(Memory.layer))

  live(
    "says of each line that the store is away",
    async (url) => {
      const results = await importLines(url, `${line()}\n${line()}`)
      assert.deepStrictEqual(
        results.map(({ problem }) => problem.type),
        ["/problems/unavailable", "/problems/unavailable"]
      )
    },
    away
  )

  it.live("counts on a budget of its own, so that open imports leave the places of other requests free", () =>
    Effect.gen(function* () {
      const url = yield* serve(undefined, undefined, { imports: 1, inFlight: 1 })
      yield* Effect.promise(async () => {
        const opened = request(`${url}/v1/invoices:import`, {
          method: "POST",
          headers: { "content-type": "application/x-ndjson" }
        })
        opened.on("error", () => undefined)
        opened.write(`${line()}\n`)
        const [answer] = await once(opened, "response")
        const [first] = await once(answer, "data")
        assert.match(String(first), /Created/u)
        const created = await send(`${url}/v1/invoices`, Generators.document())
        assert.strictEqual(created.status, 201)
        assert.deepStrictEqual(await importLines(url, line()), ["503 /problems/unavailable"])
        opened.destroy()
        const again = async (): Promise<ReadonlyArray<unknown>> => {
          const results = await importLines(url, line())
          return typeof results[0] === "string" ? again() : results
        }
        assert.strictEqual((await again()).length, 1)
      })
    })
  )

  it.live("reads no more than it has in hand while the store is slow", () =>
    Effect.gen(function* () {
      const tooMuch = 32 * 1_048_576
      let waiting = 0
      const blocked = Layer.effect(
        InvoiceStore,
        Effect.map(InvoiceStore, (store) => ({
          ...store,
          create: () => {
            waiting++
            return Effect.never
          }
        }))
      ).pipe(Layer.provide(Memory.layer))
      const url = yield* serve(blocked)
      const sent = yield* Effect.promise(async () => {
        const client = request(`${url}/v1/invoices:import`, {
          method: "POST",
          headers: { "content-type": "application/x-ndjson" }
        })
        client.on("error", () => {})
        const text = `${line({ notes: "x".repeat(4_000) })}\n`
        let bytes = 0
        // nothing is created, so the server reads no more than its buffers hold, and then the client can't write any more
        for (let drained = true; drained && bytes < tooMuch; ) {
          while (client.write(text)) bytes += text.length
          drained = await Promise.race([once(client, "drain").then(() => true), setTimeout(1_000, false)])
        }
        client.destroy()
        return bytes
      })
      assert.strictEqual(waiting, 64)
      assert.isBelow(sent, tooMuch)
    })
  )
})

const open = async (url: string, query: string, headers = {}, signal?: AbortSignal) => {
  const response = await fetch(`${url}/v1/events${query}`, { headers, ...(signal === undefined ? {} : { signal }) })
  assert.strictEqual(response.status, 200)
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/u)
  return events(response.body as AsyncIterable<Uint8Array>)
}

/** The next events that have data, with their ids. */
const take = async (stream: AsyncGenerator<{ id: string | undefined; data: string | undefined }>, count: number) => {
  const taken: Array<{ readonly cursor: string; readonly id: string; readonly version: number }> = []
  while (taken.length < count) {
    const { done, value } = await stream.next()
    if (done === true) break
    if (value.data !== undefined) taken.push({ ...JSON.parse(value.data), cursor: value.id })
  }
  return taken
}

const create = async (url: string) => JSON.parse((await send(`${url}/v1/invoices`, Generators.document())).text).id

describe("the events of REST v1", () => {
  live("come from the beginning, from now on, and behind a cursor: each once", async (url) => {
    const old = [await create(url), await create(url), await create(url)]
    const now = await open(url, "")
    // it has begun when its first sign of life is there
    await now.next()
    const all = await take(await open(url, "?from=beginning"), 3)
    assert.deepStrictEqual(
      all.map(({ id, version }) => `${id} ${version}`),
      old.map((id) => `${id} 1`)
    )
    const last = await create(url)
    const behind = [...old.slice(1), last]
    const cursor = all[0]?.cursor ?? ""
    const byHeader = take(await open(url, "?from=beginning&after=x", { "last-event-id": cursor }), 3)
    const byParameter = take(await open(url, `?after=${encodeURIComponent(cursor)}`), 3)
    for (const taken of [await byHeader, await byParameter]) {
      assert.deepStrictEqual(
        taken.map(({ id }) => id),
        behind
      )
    }
    assert.deepStrictEqual(
      (await take(now, 1)).map(({ id }) => id),
      [last]
    )
  })

  live("are refused with a problem for a cursor that nobody handed out", async (url) => {
    for (const init of [{ query: "?after=made-up" }, { query: "", headers: { "last-event-id": "made-up" } }]) {
      const { status, text } = await call(`${url}/v1/events${init.query}`, { headers: init.headers ?? {} })
      assert.deepStrictEqual([status, JSON.parse(text).type], [400, "/problems/invalid-cursor"])
    }
    const { status } = await call(`${url}/v1/events?from=yesterday`)
    assert.strictEqual(status, 400)
  })

  const expired = Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) => ({
      ...store,
      changes: () => Effect.fromResult(Result.fail(new CursorExpired({ cursor: "1" })))
    }))
  ).pipe(Layer.provide(Memory.layer))

  live(
    "are refused with 410 when the changes behind the cursor are no longer kept",
    async (url) => {
      const { status, text } = await call(`${url}/v1/events`, { headers: { "last-event-id": "1" } })
      assert.deepStrictEqual([status, JSON.parse(text).type], [410, "/problems/cursor-expired"])
    },
    expired
  )

  it.live("end when the server begins to stop", () =>
    Effect.gen(function* () {
      const stopping = new AbortController()
      const url = yield* serve(undefined, stopping.signal)
      yield* Effect.promise(async () => {
        const stream = await open(url, "?from=beginning")
        await create(url)
        await take(stream, 1)
        stopping.abort()
        for await (const event of stream) assert.strictEqual(event.data, undefined)
      })
    })
  )

  live("are not compressed, so that each comes at once, and HEAD has their headers only", async (url) => {
    const stream = await open(url, "?from=beginning", { "accept-encoding": "gzip" })
    const id = await create(url)
    assert.deepStrictEqual(
      (await take(stream, 1)).map((event) => event.id),
      [id]
    )
    const { headers, text } = await call(`${url}/v1/events`, { method: "HEAD" })
    assert.strictEqual(text, "")
    assert.match(headers.get("content-type") ?? "", /^text\/event-stream/u)
  })
})
