/** The client without Effect, against a real server over HTTP/1.1. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { Invoices, Profile, ProfileValidator } from "@invoice/core"
import { validate } from "@invoice/core/validate"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Exit, Layer, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Server } from "../src/connect/index.ts"
import {
  type Client,
  createClient,
  type Imported,
  InvoiceClientError,
  type StoredInvoice
} from "../src/connect/promise.ts"
import { Memory } from "../src/memory/index.ts"

const scope = Scope.makeUnsafe()
const server = createServer()
let client: Client

beforeAll(async () => {
  const layer = Layer.provide(Invoices.layer, [Memory.layer, ProfileValidator.layer(Profile.core)])
  const routes = await Effect.runPromise(
    Server.publicRoutes({ ready: Effect.void }).pipe(
      Effect.provideContext(await Effect.runPromise(Layer.buildWithScope(layer, scope)))
    )
  )
  server.on("request", connectNodeAdapter({ routes }))
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve)
  })
  client = createClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})

afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
})

const all = async <A>(iterable: AsyncIterable<A>): Promise<ReadonlyArray<A>> => {
  const elements: Array<A> = []
  for await (const element of iterable) elements.push(element)
  return elements
}

/** What a promise rejects with, whatever it is. */
const thrown = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error
  )

const rejection = async (promise: Promise<unknown>): Promise<InvoiceClientError> => {
  const error = await thrown(promise)
  assert.instanceOf(error, InvoiceClientError)
  assert.instanceOf(error, Error)
  return error
}

const document = (overrides?: Readonly<Record<string, unknown>>) => {
  const made = Generators.document(overrides)
  return { ...made, id: String(made["id"]), customer_id: String(made["customer_id"]) }
}

describe("the client without Effect", () => {
  it("creates an invoice once, and gets it back as plain data with exact amounts", async () => {
    const text = JSON.stringify(document({ amount: "AMOUNT" })).replace('"AMOUNT"', "9007199254740993.01")
    const first = await client.create(text)
    assert.isTrue(first.created)
    assert.isFalse((await client.create(new TextEncoder().encode(text))).created)
    const { invoice } = first
    assert.strictEqual(invoice.invoice.amount, "9007199254740993.01")
    assert.deepStrictEqual(JSON.parse(JSON.stringify(await client.get(invoice.invoice.id))), invoice)
    assert.deepInclude(invoice, { status: "Pending", version: 1, violations: [] })
    assert.match(invoice.storedAt, /^20.*Z$/u)
  })

  it("rejects with an Error that has a code, a message and the violations", async () => {
    const made = document()
    await client.create(made)
    const invalid = await rejection(client.create({ ...made, amount: "10.555", curency: "EUR" }))
    assert.strictEqual(invalid.code, "InvalidInvoice")
    assert.deepStrictEqual(
      invalid.violations.map(({ code, path }) => `${code} ${path}`),
      ["INV-SCALE /amount", "INV-FIELD /curency"]
    )
    assert.match(invalid.message, /\/amount: has more decimals than USD/u)
    assert.strictEqual((await rejection(client.create("{"))).violations[0]?.code, "INV-JSON")
    assert.strictEqual((await rejection(client.create({ ...made, notes: "other" }))).code, "InvoiceConflict")
    assert.strictEqual((await rejection(client.get(crypto.randomUUID()))).code, "InvoiceNotFound")
    assert.strictEqual((await rejection(client.history(crypto.randomUUID()))).code, "InvoiceNotFound")
    assert.strictEqual((await rejection(client.get("5"))).violations[0]?.code, "INV-UUID")
    const cursor = all(client.watch({ after: "nonsense" }))
    assert.strictEqual((await rejection(cursor)).code, "InvalidCursor")
    assert.deepStrictEqual((await rejection(client.get(crypto.randomUUID()))).violations, [])
  })

  it("says Unavailable when nobody answers, and Internal when somebody else does", async () => {
    const nobody = createClient({ baseUrl: "http://127.0.0.1:1" })
    const unavailable = await rejection(nobody.get(crypto.randomUUID()))
    assert.strictEqual(unavailable.code, "Unavailable")
    assert.isDefined(unavailable.cause)
    const stranger = createClient({
      baseUrl: "http://localhost",
      fetch: async () => new Response("no", { status: 404 })
    })
    assert.strictEqual((await rejection(stranger.get(crypto.randomUUID()))).code, "Internal")
  })

  it("validates with the same answer as at home, and stores nothing", async () => {
    for (const input of [document(), document({ amount: "1" }), document({ amount: "x" }), "{", 5, null]) {
      assert.deepStrictEqual(await client.validate(input), validate(input))
    }
    const made = document()
    await client.validate(made)
    assert.strictEqual((await rejection(client.get(made.id))).code, "InvoiceNotFound")
  })

  it("lists every invoice once, newest first, whatever the size of a page", async () => {
    const customer_id = crypto.randomUUID()
    const ids: Array<string> = []
    for (let count = 0; count < 5; count++)
      ids.unshift((await client.create(document({ customer_id }))).invoice.invoice.id)
    const listed = async (pageSize?: number) =>
      (await all(client.list({ customerId: customer_id, ...(pageSize === undefined ? {} : { pageSize }) }))).map(
        ({ invoice }: StoredInvoice) => invoice.id
      )
    assert.deepStrictEqual(await listed(), ids)
    assert.deepStrictEqual(await listed(2), ids)
    assert.deepStrictEqual(await all(client.list({ customerId: customer_id, status: "Approved" })), [])
  })

  it("lists by due date, at any offset, and says which limit is no time", async () => {
    const customerId = crypto.randomUUID()
    for (const due_date of ["2025-06-30T00:00:00Z", "2025-07-01T00:00:00Z"])
      await client.create(document({ customer_id: customerId, due_date }))
    const due = async (query: { readonly dueAfter?: string; readonly dueBefore?: string }) =>
      (await all(client.list({ customerId, ...query }))).map(({ invoice }) => invoice.due_date)
    assert.deepStrictEqual(await due({ dueAfter: "2025-07-01T02:00:00+02:00" }), ["2025-07-01T00:00:00Z"])
    assert.deepStrictEqual(await due({ dueBefore: "2025-07-01T00:00:00Z" }), ["2025-06-30T00:00:00Z"])
    const error = await rejection(due({ dueAfter: "tomorrow" }))
    assert.strictEqual(error.code, "InvalidInvoice")
    assert.deepStrictEqual(
      error.violations.map(({ code, path }) => `${code} ${path}`),
      ["INV-DATE /dueAfter"]
    )
  })

  it("tells the history of an invoice", async () => {
    const { invoice } = await client.create(document())
    const [entry, ...others] = await client.history(invoice.invoice.id)
    assert.deepStrictEqual(others, [])
    assert.deepInclude(entry, { version: 1, to: "Pending", by: "api", violations: [] })
    assert.notProperty(entry, "from")
  })

  it("watches, and resumes behind any cursor without loss or repeat", async () => {
    let start = ""
    for await (const { change, cursor } of client.watch()) {
      // the first one says where now is
      assert.isUndefined(change)
      start = cursor
      break
    }
    const ids: Array<string> = []
    for (let count = 0; count < 6; count++) ids.push((await client.create(document())).invoice.invoice.id)
    const seen: Array<string> = []
    let after = start
    while (seen.length < ids.length) {
      let handled = 0
      for await (const { change, cursor } of client.watch({ after })) {
        after = cursor
        if (change !== undefined) {
          seen.push(change.id)
          assert.deepInclude(change, { status: "Pending", version: 1, violations: [] })
          if (++handled === 2) break
        }
      }
    }
    assert.deepStrictEqual(seen, ids)
    for await (const { change } of client.watch({ from: "beginning" })) {
      assert.isDefined(change)
      break
    }
  })

  it("stops when its signal says so, with the signal's reason", async () => {
    const reason = new Error("enough")
    const abort = new AbortController()
    const gone = thrown(all(client.watch({ signal: abort.signal })))
    await client.create(document())
    abort.abort(reason)
    assert.strictEqual(await gone, reason)
    const { signal } = abort
    for (const late of [
      () => client.get(crypto.randomUUID(), { signal }),
      () => client.create(document(), { signal }),
      () => all(client.watch({ signal })),
      () => all(client.list({}, { signal })),
      () => all(client.import([document()], { signal }))
    ]) {
      assert.strictEqual(await thrown(late()), reason)
    }
  })

  it("imports what an iterable yields, tells the outcome of each in order, and takes no more than it has in hand", async () => {
    let taken = 0
    async function* documents() {
      for (;;) {
        taken++
        yield taken === 2 ? "{" : taken === 3 ? document({ amount: "10.555" }) : document()
      }
    }
    const outcomes: Array<Imported> = []
    for await (const imported of client.import(documents())) {
      outcomes.push(imported)
      if (outcomes.length === 5) break
    }
    assert.deepStrictEqual(
      outcomes.map(({ line, outcome }) => [line, outcome]),
      [
        [1, "Created"],
        [2, "Failed"],
        [3, "Failed"],
        [4, "Created"],
        [5, "Created"]
      ]
    )
    assert.strictEqual(outcomes[1]?.error?.violations[0]?.code, "INV-JSON")
    assert.strictEqual(outcomes[2]?.error?.violations[0]?.code, "INV-SCALE")
    assert.isBelow(taken, 200)
    const [again] = await all(client.import([document({ id: outcomes[0]?.id })]))
    assert.strictEqual(again?.outcome, "Unchanged")
  })

  it("hands on what the source of an import throws, as it is", async () => {
    const broken = new Error("the disk is broken")
    async function* documents() {
      yield document()
      throw broken
    }
    const outcomes: Array<string> = []
    const importing = async () => {
      for await (const { outcome } of client.import(documents())) outcomes.push(outcome)
    }
    assert.strictEqual(await thrown(importing()), broken)
    assert.deepStrictEqual(outcomes, ["Created"])
  })
})
