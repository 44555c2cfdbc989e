/** The laws of `InvoiceStoreContract` about lists, and about how much one call may ask for. */
import { assert } from "@effect/vitest"
import { type Invoice, InvoiceStore } from "@invoice/core"
import type { ListQuery } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import { approve, decision, outcomes, reject } from "./Decisions.ts"
import * as Generators from "./Generators.ts"
import type { Body, Law, MakeLaw, Ports } from "./StoreLaw.ts"

/** The limits of the port. */
const mostListed = 200
const mostIds = 5_000
const mostDecisions = 10_000

const newestFirst: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const customerId = crypto.randomUUID()
  const ids: Array<string> = []
  for (let count = 0; count < 7; count++) {
    const invoice = Generators.invoice({ customer_id: customerId })
    yield* store.create(invoice)
    ids.unshift(invoice.id)
  }
  const seen: Array<string> = []
  let cursor: string | undefined
  do {
    const page = yield* store.list({ customerId, limit: 3, cursor })
    assert.isAtMost(page.items.length, 3)
    seen.push(...page.items.map(({ invoice }) => invoice.id))
    cursor = Option.getOrUndefined(page.next)
    yield* store.create(Generators.invoice({ customer_id: customerId }))
  } while (cursor !== undefined)
  assert.deepStrictEqual(seen, ids)
  assert.strictEqual((yield* Effect.flip(store.list({ limit: 1, cursor: "nonsense" })))._tag, "InvalidCursor")
})

const filtered: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const customer_id = crypto.randomUUID()
  const dollars = Generators.invoice({ customer_id })
  const rejected = Generators.invoice({ customer_id })
  const euros = Generators.invoice({ customer_id, currency: "EUR" })
  for (const invoice of [dollars, rejected, euros, Generators.invoice()]) yield* store.create(invoice)
  yield* store.decide([decision(rejected, reject)])
  const ids = (query: Omit<ListQuery, "limit">) =>
    Effect.map(store.list({ customerId: customer_id, limit: 200, ...query }), ({ items, next }) => {
      assert.isTrue(Option.isNone(next))
      return items.map(({ invoice }) => invoice.id)
    })
  assert.deepStrictEqual(yield* ids({}), [euros.id, rejected.id, dollars.id])
  assert.deepStrictEqual(yield* ids({ currency: "EUR" }), [euros.id])
  assert.deepStrictEqual(yield* ids({ status: "Rejected" }), [rejected.id])
  assert.deepStrictEqual(yield* ids({ currency: "USD", status: "Pending" }), [dollars.id])
  assert.deepStrictEqual(yield* ids({ status: "Approved" }), [])
  for (const currency of ["\u0000", "nonsense"]) {
    assert.deepStrictEqual(yield* store.list({ customerId: customer_id, currency, limit: 10 }), {
      items: [],
      next: Option.none()
    })
  }
})

/** How a test of the suite may store many invoices, for laws that need thousands of them. */
export interface BulkOptions {
  /** Stores new invoices, each with its event; by default one `create` for each of them. */
  readonly createAll?: ((invoices: ReadonlyArray<Invoice.Invoice>) => Effect.Effect<void, unknown, Ports>) | undefined
}

export const createEach = (invoices: ReadonlyArray<Invoice.Invoice>): Effect.Effect<void, unknown, InvoiceStore> =>
  Effect.flatMap(InvoiceStore, (store) =>
    Effect.forEach(invoices, (invoice) => store.create(invoice), { concurrency: 256, discard: true })
  )

const create = (
  count: number,
  { createAll = createEach }: BulkOptions,
  overrides?: Readonly<Record<string, unknown>>
) =>
  Effect.suspend(() => {
    const invoices = Generators.invoicesOf(count, overrides)
    return Effect.as(createAll(invoices), invoices)
  })

const mostInAList = (bulk: BulkOptions): Body =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const customerId = crypto.randomUUID()
    const invoices = yield* create(mostListed + 1, bulk, { customer_id: customerId })
    const first = yield* store.list({ customerId, limit: mostListed })
    assert.strictEqual(first.items.length, mostListed)
    const rest = yield* store.list({ customerId, limit: mostListed, cursor: Option.getOrThrow(first.next) })
    assert.deepStrictEqual(rest.next, Option.none())
    assert.deepStrictEqual(
      new Set([...first.items, ...rest.items].map(({ invoice }) => invoice.id)),
      new Set(invoices.map(({ id }) => id))
    )
  })

const mostById = (bulk: BulkOptions): Body =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const ids = (yield* create(mostIds, bulk)).map(({ id }) => id)
    const found = yield* store.getMany(ids)
    assert.strictEqual(found.length, mostIds)
    assert.deepStrictEqual(new Set(found.map(({ invoice }) => invoice.id)), new Set(ids))
  })

const mostAtOnce = (bulk: BulkOptions): Body =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const invoices = yield* create(mostDecisions, bulk)
    const head = yield* store.head
    const decided = yield* store.decide(invoices.map((invoice) => decision(invoice, approve)))
    assert.deepStrictEqual(new Set(outcomes(decided)), new Set(["Decided"]))
    assert.deepStrictEqual(
      decided.map(({ id }) => id),
      invoices.map(({ id }) => id)
    )
    const page = yield* store.changes({ cursor: head, limit: mostDecisions })
    assert.strictEqual(page.changes.length, mostDecisions)
    assert.deepStrictEqual(
      new Set(page.changes.map(({ id, status }) => `${id} ${status}`)),
      new Set(invoices.map(({ id }) => `${id} Approved`))
    )
  })

export const listLaws = (law: MakeLaw, bulk: BulkOptions): ReadonlyArray<Law> => [
  law("a list goes newest first through pages that lose and repeat nothing while invoices arrive", newestFirst),
  law("a list holds what its filters ask for, and nothing else", filtered),
  law("200 invoices are listed at once", mostInAList(bulk)),
  law("5,000 invoices are read by their ids at once", mostById(bulk)),
  law("10,000 invoices are decided at once, and their changes told in one page", mostAtOnce(bulk))
]
