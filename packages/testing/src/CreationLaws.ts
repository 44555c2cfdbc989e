/** The laws of `InvoiceStoreContract` about creating an invoice and reading it again. */
import { assert } from "@effect/vitest"
import { Invoice, InvoiceStore, Profile } from "@invoice/core"
import type { StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import { eventsOf } from "./Decisions.ts"
import * as Extremes from "./Extremes.ts"
import * as Generators from "./Generators.ts"
import type { Body, Law, MakeLaw } from "./StoreLaw.ts"

const decoder = new TextDecoder()

/** The stored invoice, with its content as canonical text. */
const shown = ({ invoice, ...rest }: StoredInvoice) => ({ ...rest, invoice: Invoice.canonical(invoice) })

/** All invoices of a customer, read page by page. */
const listed = Effect.fnUntraced(function* (customerId: string) {
  const store = yield* InvoiceStore
  const items: Array<StoredInvoice> = []
  let cursor: string | undefined
  do {
    const page = yield* store.list({ customerId, limit: 20, cursor })
    items.push(...page.items)
    cursor = Option.getOrUndefined(page.next)
  } while (cursor !== undefined)
  return items
})

const sameContent: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const { customerId } = Generators.invoice({ customer_id: crypto.randomUUID() })
  const created: Array<StoredInvoice> = []
  for (const generated of yield* Generators.manyInvoices) {
    const invoice = { ...generated, customerId }
    const { stored } = yield* store.create(invoice)
    assert.strictEqual(Invoice.canonical(stored.invoice), Invoice.canonical(invoice))
    assert.deepStrictEqual(shown(yield* store.get(invoice.id)), shown(stored))
    created.unshift(stored)
  }
  assert.deepStrictEqual((yield* listed(customerId)).map(shown), created.map(shown))
  const many = new Map(
    (yield* store.getMany(created.map(({ invoice }) => invoice.id))).map((one) => [one.invoice.id, one])
  )
  for (const stored of created) {
    const found = many.get(stored.invoice.id)
    assert.deepStrictEqual(found && shown(found), shown(stored))
  }
})

const leastDifference: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  for (const [what, one, other] of Extremes.neighbours) {
    const invoice = Generators.invoice(one)
    yield* store.create(invoice)
    assert.strictEqual((yield* store.create(invoice)).outcome, "Unchanged", what)
    const conflict = yield* Effect.flip(store.create(Generators.invoice({ ...other, id: invoice.id })))
    assert.strictEqual(conflict._tag, "InvoiceConflict", what)
    assert.strictEqual(Invoice.canonical((yield* store.get(invoice.id)).invoice), Invoice.canonical(invoice), what)
  }
})

const newInvoice: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  const { outcome, stored } = yield* store.create(invoice)
  assert.strictEqual(outcome, "Created")
  assert.strictEqual(stored.status, "Pending")
  assert.strictEqual(stored.version, 1)
  assert.deepStrictEqual(stored.violations, [])
  const events = yield* eventsOf(invoice)
  assert.strictEqual(events.length, 1)
  assert.strictEqual(events[0]?.topic, "new_invoice")
  assert.strictEqual(events[0]?.version, 1)
  assert.strictEqual(events[0]?.type, "invoice.created")
  assert.strictEqual(decoder.decode(events[0]?.payload), JSON.stringify({ id: invoice.id }))
  const history = yield* store.history(invoice.id)
  assert.deepStrictEqual(
    history.map(({ by, from, to, version }) => ({ by, from: Option.getOrNull(from), to, version })),
    [{ by: "api", from: null, to: "Pending", version: 1 }]
  )
})

const again: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  const first = yield* store.create(invoice)
  const again = yield* store.create(invoice)
  assert.strictEqual(again.outcome, "Unchanged")
  assert.deepStrictEqual(shown(again.stored), shown(first.stored))
  assert.strictEqual((yield* eventsOf(invoice)).length, 1)
})

const conflict: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  yield* store.create(invoice)
  const error = yield* Effect.flip(store.create({ ...invoice, notes: "something else" }))
  assert.strictEqual(error._tag, "InvoiceConflict")
  assert.strictEqual((yield* store.get(invoice.id)).invoice.notes, invoice.notes)
  assert.strictEqual((yield* eventsOf(invoice)).length, 1)
})

const race: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  const results = yield* Effect.all(
    Array.from({ length: 20 }, (_, index) => Effect.result(store.create({ ...invoice, notes: `racer ${index}` }))),
    { concurrency: "unbounded" }
  )
  const won = results.filter(({ _tag }) => _tag === "Success")
  assert.strictEqual(won.length, 1)
  for (const result of results) {
    assert.isTrue(result._tag === "Success" || result.failure._tag === "InvoiceConflict")
  }
  assert.strictEqual((yield* eventsOf(invoice)).length, 1)
})

const lineOrder: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const items = Array.from({ length: 300 }, (_, index) => ({
    description: `line ${(index * 7919) % 300}`,
    quantity: "1",
    unit_price: "1",
    total: "1"
  }))
  const invoice = Generators.invoice({ items })
  yield* store.create(invoice)
  const { invoice: stored } = yield* store.get(invoice.id)
  assert.deepStrictEqual(
    stored.lines.map(({ description }) => description),
    items.map(({ description }) => description)
  )
})

const unknown: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const { id } = Generators.invoice()
  assert.strictEqual((yield* Effect.flip(store.get(id)))._tag, "InvoiceNotFound")
  assert.strictEqual((yield* Effect.flip(store.history(id)))._tag, "InvoiceNotFound")
})

const many: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [one, two, unknown] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
  yield* store.create(one)
  yield* store.create(two)
  const found = yield* store.getMany([one.id, unknown.id, two.id, one.id])
  assert.deepStrictEqual(found.map(({ invoice }) => invoice.id).sort(), [one.id, two.id].sort())
  assert.deepStrictEqual(yield* store.getMany([]), [])
})

const unstorable: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const known = Generators.invoice()
  yield* store.create(known)
  const good = Array.from({ length: 40 }, () => Generators.invoice())
  const results = yield* Effect.all(
    good.flatMap((invoice, index) => [
      Effect.asVoid(store.create(invoice)),
      // a conflict, or a text that the parser always refuses
      Effect.ignoreCause(
        store.create(index % 2 === 0 ? { ...known, notes: `${index}` } : { ...Generators.invoice(), notes: "\u0000" })
      )
    ]),
    { concurrency: "unbounded", mode: "result" }
  )
  assert.isTrue(results.every(({ _tag }) => _tag === "Success"))
  assert.strictEqual((yield* store.getMany(good.map(({ id }) => id))).length, good.length)
  assert.strictEqual((yield* eventsOf(...good)).length, good.length)
  assert.strictEqual((yield* eventsOf(known)).length, 1)
})

const judged: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice({ amount: "1050.01" })
  yield* store.create(invoice)
  const { invoice: stored } = yield* store.get(invoice.id)
  assert.deepStrictEqual(Profile.judge(Profile.core, stored), Profile.judge(Profile.core, invoice))
})

const ready: Body = Effect.flatMap(InvoiceStore, (store) => store.ready)

const writable: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [before, after] = [Generators.invoice(), Generators.invoice()]
  let cursor = yield* store.head
  yield* store.create(before)
  yield* store.writable
  yield* store.writable
  yield* store.create(after)
  const seen: Array<string> = []
  while (!seen.includes(after.id)) {
    const { changes, next } = yield* store.changes({ cursor, limit: 100 })
    seen.push(...changes.map(({ id }) => id))
    cursor = next
  }
  assert.deepStrictEqual(seen, [before.id, after.id])
  const { items } = yield* store.list({ limit: 2 })
  assert.deepStrictEqual(
    items.map(({ invoice }) => invoice.id),
    [after.id, before.id]
  )
  assert.strictEqual((yield* store.history(before.id)).length, 1)
})

export const creationLaws = (law: MakeLaw): ReadonlyArray<Law> => [
  law("any invoice that the types hold comes back with the same content", sameContent),
  law("invoices that differ in a last digit, a last character or a nanosecond are not the same", leastDifference),
  law("a new invoice is pending at version 1 with one event and one line of history", newInvoice),
  law("the same invoice again is unchanged and leaves no second event", again),
  law("another invoice with a known id is a conflict and changes nothing", conflict),
  law("of twenty different invoices racing for one id one wins, and the others are told", race),
  law("the lines come back in the order given", lineOrder),
  law("an unknown id is not found", unknown),
  law("many at once: those that exist, each once", many),
  law("invoices that can't be stored never fail the ones that are stored at the same time", unstorable),
  law("a store that is there is ready", ready),
  law("a store that takes writes says so, and leaves no invoice, history or event behind", writable),
  law("the default profile's verdict on a stored invoice is its verdict on the invoice", judged)
]
