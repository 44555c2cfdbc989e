/** The laws of `InvoiceStoreContract` about lists, and about how much one call may ask for. */
import { assert } from "@effect/vitest"
import { Invoice, InvoiceStore, Timestamp } from "@invoice/core"
import { type ListQuery, maxPageBytes, type StoredInvoice } from "@invoice/core/ports/InvoiceStore"
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

/** Every page of a list. */
const walk = Effect.fnUntraced(function* (query: Omit<ListQuery, "cursor">) {
  const store = yield* InvoiceStore
  const pages: Array<ReadonlyArray<StoredInvoice>> = []
  let cursor: string | undefined
  do {
    const page = yield* store.list({ ...query, cursor })
    assert.isAtMost(page.items.length, query.limit)
    pages.push(page.items)
    cursor = Option.getOrUndefined(page.next)
  } while (cursor !== undefined)
  return pages
})

const idsOf = (stored: ReadonlyArray<StoredInvoice>): ReadonlyArray<string> => stored.map(({ invoice }) => invoice.id)

const walkedWhileInvoicesArrive: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const customerId = crypto.randomUUID()
  const before = Generators.invoicesOf(30, { customer_id: customerId })
  yield* createEach(before)
  const seen: Array<string> = []
  let cursor: string | undefined
  do {
    const arrive = createEach(Generators.invoicesOf(100, { customer_id: customerId }))
    const [page] = yield* Effect.all([store.list({ customerId, limit: 3, cursor }), arrive], { concurrency: 2 })
    seen.push(...idsOf(page.items))
    cursor = Option.getOrUndefined(page.next)
  } while (cursor !== undefined)
  assert.strictEqual(new Set(seen).size, seen.length, "an invoice came twice")
  const found = new Set(seen)
  assert.deepStrictEqual(
    before.filter(({ id }) => !found.has(id)),
    []
  )
})

type Filters = Omit<ListQuery, "limit" | "cursor">

const isWithin = (time: Timestamp.Timestamp | undefined, after?: Timestamp.Timestamp, before?: Timestamp.Timestamp) =>
  (after === undefined || (time !== undefined && Timestamp.compare(time, after) >= 0)) &&
  (before === undefined || (time !== undefined && Timestamp.compare(time, before) < 0))

const meets = ({ invoice, status, storedAt }: StoredInvoice, filters: Filters): boolean =>
  (filters.status === undefined || filters.status === status) &&
  (filters.customerId === undefined || filters.customerId === invoice.customerId) &&
  (filters.currency === undefined || filters.currency === invoice.amount.currency) &&
  isWithin(invoice.dueDate, filters.dueAfter, filters.dueBefore) &&
  isWithin(storedAt, filters.storedAfter, filters.storedBefore)

const dueDates = [undefined, "2031-01-01T00:00:00Z", "2031-01-01T00:00:00.000000001Z", "2031-02-01T00:00:00Z"]

/** Invoices of one customer with every combination of currency, due date and status; newest first. */
const combinations = Effect.fnUntraced(function* (customerId: string) {
  const store = yield* InvoiceStore
  const documents = ["USD", "EUR"].flatMap((currency) => dueDates.map((due_date) => ({ currency, due_date })))
  const invoices = [0, 1].flatMap(() =>
    documents.map((document) => Generators.invoice({ customer_id: customerId, ...document }))
  )
  for (const invoice of invoices) yield* store.create(invoice)
  yield* store.decide(invoices.slice(documents.length).map((invoice) => decision(invoice, approve)))
  return (yield* walk({ customerId, limit: 200 })).flat()
})

/** Stores invoices of others until the store's clock has moved on. */
const nextMoment = Effect.fnUntraced(function* (time: Timestamp.Timestamp) {
  const store = yield* InvoiceStore
  yield* Effect.suspend(() => store.create(Generators.invoice({ currency: "GBP" }))).pipe(
    Effect.repeat({ until: ({ stored }) => Timestamp.compare(stored.storedAt, time) > 0 })
  )
})

/** The list is walked until it reaches invoices from before the law began. */
const listedSince = Effect.fnUntraced(function* (filters: Filters, since: Timestamp.Timestamp) {
  const store = yield* InvoiceStore
  const listed: Array<StoredInvoice> = []
  let cursor: string | undefined
  do {
    const page = yield* store.list({ ...filters, limit: 7, cursor })
    listed.push(...page.items)
    cursor = Option.getOrUndefined(page.next)
  } while (cursor !== undefined && listed.every(({ storedAt }) => Timestamp.compare(storedAt, since) >= 0))
  return listed
})

/** Every set of the given filters. */
const sets = (filters: ReadonlyArray<Filters>): ReadonlyArray<Filters> =>
  filters.reduce<ReadonlyArray<Filters>>((all, one) => all.flatMap((set) => [set, { ...set, ...one }]), [{}])

const everySetOfFilters: Body = Effect.gen(function* () {
  const customerId = crypto.randomUUID()
  const older = yield* combinations(customerId)
  const since = older.at(-1)?.storedAt ?? assert.fail("nothing is listed")
  yield* nextMoment(older[0]?.storedAt ?? since)
  const mine = yield* combinations(customerId)
  // when the first of the second half was stored
  const cut = mine[mine.length - older.length - 1]?.storedAt ?? since
  const time = (text: string) => Timestamp.parse(text) ?? assert.fail(text)
  const filters: ReadonlyArray<Filters> = [
    { customerId },
    { status: "Approved" },
    { currency: "EUR" },
    { dueAfter: time("2031-01-01T00:00:00.000000001Z") },
    { dueBefore: time("2031-02-01T00:00:00Z") },
    { storedAfter: cut }
  ]
  const last: Filters = { ...filters[0], storedBefore: cut, dueBefore: time("2031-01-01T00:00:00.000000001Z") }
  for (const set of [
    ...sets(filters),
    { customerId, storedBefore: cut },
    { storedBefore: cut, currency: "USD" },
    last
  ]) {
    const listed = yield* listedSince(set, since)
    const said = JSON.stringify(set)
    assert.isTrue(
      listed.every((stored) => meets(stored, set)),
      `${said} lists what it should not`
    )
    const ids = new Set(idsOf(mine))
    assert.deepStrictEqual(
      idsOf(listed).filter((id) => ids.has(id)),
      idsOf(mine.filter((stored) => meets(stored, set))),
      said
    )
  }
})

const bytesOf = ({ invoice, violations }: StoredInvoice): number =>
  new TextEncoder().encode(Invoice.canonical(invoice) + JSON.stringify(violations)).length

/** Nearly a megabyte, as much as a request may hold. */
const huge = (customer_id: string, character: string): Invoice.Invoice => {
  const description = character.repeat(Math.floor(900 / new TextEncoder().encode(character).length))
  const line = { description, quantity: 1, unit_price: "1", total: "1" }
  return Generators.invoice({ customer_id, items: Array.from({ length: Invoice.limits.lines }, () => line) })
}

const pagesByBytes: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const customerId = crypto.randomUUID()
  const small = Generators.invoice({ customer_id: customerId })
  const invoices = [...["h", "€", "h", "ż", "h", "h"].map((character) => huge(customerId, character)), small]
  for (const invoice of invoices) yield* store.create(invoice)
  const pages = yield* walk({ customerId, limit: 200 })
  assert.deepStrictEqual(idsOf(pages.flat()), invoices.map(({ id }) => id).toReversed())
  const sizes = pages.map((page) => page.map(bytesOf).reduce((sum, bytes) => sum + bytes, 0))
  for (const [index, size] of sizes.entries()) {
    assert.isAtMost(size, maxPageBytes)
    const isLast = index === sizes.length - 1
    assert.isTrue(isLast || size > maxPageBytes / 2, `page ${index} ends after ${size} bytes`)
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
  law("every set of filters lists what meets all of them, newest first", everySetOfFilters),
  law("a list that is walked while a thousand invoices arrive misses none and repeats none", walkedWhileInvoicesArrive),
  law("a page ends before it holds more than 4 MB, and the next one goes on", pagesByBytes),
  law("200 invoices are listed at once", mostInAList(bulk)),
  law("5,000 invoices are read by their ids at once", mostById(bulk)),
  law("10,000 invoices are decided at once, and their changes told in one page", mostAtOnce(bulk))
]
