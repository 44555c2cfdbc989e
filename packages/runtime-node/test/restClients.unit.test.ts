import { assert, describe, it } from "@effect/vitest"
import { createClient, type Event, type ImportedInvoiceInput, ProblemError } from "@invoice/client"
import * as Problems from "@invoice/client/Problems"
import * as RestClient from "@invoice/client/RestClient"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { serve } from "./RestV1.ts"

const document = (overrides?: Readonly<Record<string, unknown>>) =>
  Generators.document(overrides) as unknown as ImportedInvoiceInput

const live = (name: string, test: (url: string) => Promise<void>) =>
  it.live(name, () => Effect.flatMap(serve(), (url) => Effect.promise(() => test(url))))

const problemOf = async (promise: Promise<unknown>): Promise<ProblemError> => {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error
  )
  if (!(error instanceof ProblemError)) throw new Error(`no problem: ${error}`)
  return error
}

describe("the client of promises", () => {
  live("creates, reads, lists, validates, and tells problems apart", async (baseUrl) => {
    const client = createClient({ baseUrl: `${baseUrl}/` })
    const input = document()
    const { created, invoice } = await client.create(input, { idempotencyKey: "a" })
    assert.deepStrictEqual([created, invoice.id, invoice.amount], [true, input.id, "1050"])
    assert.strictEqual((await client.create(input)).created, false)
    assert.deepStrictEqual(await client.get(input.id), invoice)
    assert.deepStrictEqual(
      (await client.history(input.id)).map(({ to }) => to),
      ["Pending"]
    )
    assert.strictEqual((await client.validate({ ...input, amount: "1" })).status, "Rejected")
    const conflict = await problemOf(client.create({ ...input, notes: "other" }))
    assert.isTrue(conflict.is("invoice-conflict"))
    const missing = await problemOf(client.get(crypto.randomUUID()))
    assert.deepStrictEqual([missing.is("invoice-not-found"), missing.problem.status], [true, 404])
    const faulty = await problemOf(client.create({ ...input, currency: "ZZZ" }))
    assert.strictEqual(faulty.problem.violations?.[0]?.path, "/currency")
  })

  live("walks all pages, with filters", async (baseUrl) => {
    const client = createClient({ baseUrl })
    const inputs = Array.from({ length: 5 }, () => document())
    for (const input of inputs) await client.create(input)
    const seen: Array<string> = []
    for await (const { id } of client.list({ limit: 2, currency: "USD", dueAfter: "2025-06-30T00:00:00Z" }))
      seen.push(id)
    assert.deepStrictEqual(seen, inputs.map(({ id }) => id).toReversed())
    assert.deepStrictEqual((await client.page({ status: "Approved" })).invoices, [])
  })

  live("imports in parts, and numbers the answers through", async (baseUrl) => {
    const client = createClient({ baseUrl })
    const inputs = Array.from({ length: 1_201 }, (_, index) => document(index === 700 ? { currency: "ZZZ" } : {}))
    const lines: Array<number> = []
    const failed: Array<string> = []
    for await (const { line, outcome, problem } of client.importAll(inputs)) {
      lines.push(line)
      if (outcome === "Failed") failed.push(`${line} ${problem?.type}`)
    }
    assert.deepStrictEqual(
      lines,
      inputs.map((_, index) => index + 1)
    )
    assert.deepStrictEqual(failed, ["701 /problems/invalid-invoice"])
  })

  live("follows the events, and goes on behind one", async (baseUrl) => {
    const client = createClient({ baseUrl })
    const inputs = [document(), document(), document()]
    for (const input of inputs) await client.create(input)
    const take = async (count: number, after?: string) => {
      const events: Array<Event> = []
      for await (const event of client.events({ from: "beginning", ...(after === undefined ? {} : { after }) })) {
        if (events.push(event) === count) break
      }
      return events
    }
    const all = await take(3)
    assert.deepStrictEqual(
      all.map(({ change }) => change.id),
      inputs.map(({ id }) => id)
    )
    assert.deepStrictEqual(await take(2, all[0]?.id), all.slice(1))
    const refused = client.events({ after: "made-up" })[Symbol.asyncIterator]()
    assert.isTrue((await problemOf(refused.next())).is("invalid-cursor"))
  })

  it("asks for its token each time, and ends with the signal", async () => {
    const sent: Array<string | null> = []
    let token = 0
    const client = createClient({
      baseUrl: "http://localhost:1",
      token: () => `t${++token}`,
      fetch: async (_, init) => {
        sent.push(new Headers(init?.headers).get("authorization"))
        return new Response("no such page", { status: 502, headers: { "retry-after": "7" } })
      }
    })
    const { problem, retryAfter } = await problemOf(client.get("a"))
    assert.deepStrictEqual([problem.status, problem.detail, retryAfter], [502, "no such page", 7])
    await problemOf(client.get("b"))
    assert.deepStrictEqual(sent, ["Bearer t1", "Bearer t2"])
    const controller = new AbortController()
    const next = client.events({ signal: controller.signal })[Symbol.asyncIterator]().next()
    controller.abort(new Error("enough"))
    assert.strictEqual(await next.catch((error: Error) => error.message), "enough")
  })
})

describe("the client of effects", () => {
  it.live("creates, reads, lists and validates, and fails with the problem", () =>
    Effect.gen(function* () {
      const client = yield* RestClient.make({ baseUrl: yield* serve(), token: Effect.succeed(Redacted.make("t")) })
      const input = document()
      const created = yield* client.createInvoice({ payload: input, headers: {} })
      assert.strictEqual(created.headers.location, `/v1/invoices/${input.id}`)
      assert.strictEqual(created.body.amount, "1050")
      const { body } = (yield* client.getInvoice({ params: { id: input.id }, headers: {} })) ?? {}
      assert.deepStrictEqual(body, created.body)
      const page = yield* client.listInvoices({ query: { limit: 10, currency: "USD" } })
      assert.deepStrictEqual(page.invoices, [created.body])
      const verdict = yield* client.validateInvoice({ params: {}, payload: { ...input, amount: "1" } })
      assert.strictEqual(verdict.status, "Rejected")
      const { history } = yield* client.getHistory({ params: { id: input.id } })
      assert.strictEqual(history.length, 1)
      const missing = yield* client.getHistory({ params: { id: crypto.randomUUID() } }).pipe(
        Effect.map(() => "there"),
        Effect.catch((error) => Effect.succeed("type" in error ? error.type : error._tag))
      )
      assert.strictEqual(missing, Problems.typeOf("invoice-not-found"))
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )

  it.live("imports a stream and follows the events", () =>
    Effect.gen(function* () {
      const client = yield* RestClient.make({ baseUrl: yield* serve() })
      const inputs = [document(), document()]
      const results = yield* Stream.unwrap(
        client.importInvoices({ params: {}, payload: Stream.fromIterable(inputs) })
      ).pipe(Stream.runCollect)
      assert.deepStrictEqual(
        results.map(({ outcome }) => outcome),
        ["Created", "Created"]
      )
      const events = yield* Stream.unwrap(client.streamEvents({ query: { from: "beginning" }, headers: {} })).pipe(
        Stream.take(2),
        Stream.runCollect
      )
      assert.deepStrictEqual(
        events.map(({ data }) => data.id),
        inputs.map(({ id }) => id)
      )
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
