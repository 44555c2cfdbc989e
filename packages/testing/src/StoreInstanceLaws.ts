/** The laws of `InvoiceStoreContract` about several instances of a store, at once or one after the other. */
import { assert } from "@effect/vitest"
import { Invoice, InvoiceStore } from "@invoice/core"
import { Effect, Option } from "effect"
import { approve, decision, eventsOf, outcomes, reject } from "./Decisions.ts"
import * as Generators from "./Generators.ts"
import type { Body, Elsewhere, Law, MakeLaw } from "./StoreLaw.ts"

/** All that a store has about an invoice. */
const told = Effect.fnUntraced(function* (invoice: Invoice.Invoice) {
  const store = yield* InvoiceStore
  const { invoice: content, ...stored } = yield* store.get(invoice.id)
  return {
    stored,
    content: Invoice.canonical(content),
    history: yield* store.history(invoice.id),
    events: yield* eventsOf(invoice)
  }
})

const restart = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const [decided, pending] = [Generators.invoice(), Generators.invoice()]
    const before = yield* elsewhere(
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        yield* store.create(decided)
        yield* store.create(pending)
        yield* store.decide([decision(decided, reject)])
        return [yield* told(decided), yield* told(pending)]
      })
    )
    yield* elsewhere(
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        assert.deepStrictEqual([yield* told(decided), yield* told(pending)], before)
        assert.strictEqual((yield* store.create(pending)).outcome, "Unchanged")
        assert.deepStrictEqual(
          outcomes(yield* store.decide([decision(decided, approve), decision(pending, approve)])),
          ["AlreadyFinal", "Decided"]
        )
      })
    )
  })

const cursors = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const customerId = crypto.randomUUID()
    const invoices = Array.from({ length: 3 }, () => Generators.invoice({ customer_id: customerId }))
    const before = yield* elsewhere(
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const head = yield* store.head
        for (const invoice of invoices) yield* store.create(invoice)
        const { changes } = yield* store.changes({ cursor: head, limit: 2 })
        return { change: changes[0]?.cursor, list: (yield* store.list({ customerId, limit: 1 })).next }
      })
    )
    yield* elsewhere(
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const { changes } = yield* store.changes({ cursor: before.change, limit: 10 })
        assert.deepStrictEqual(
          changes.map(({ id }) => id),
          invoices.slice(1).map(({ id }) => id)
        )
        const { items } = yield* store.list({ customerId, limit: 10, cursor: Option.getOrThrow(before.list) })
        assert.deepStrictEqual(
          items.map(({ invoice }) => invoice.id),
          [invoices[1]?.id, invoices[0]?.id]
        )
      })
    )
  })

const seenAtOnce = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const here = yield* InvoiceStore
    const customerId = crypto.randomUUID()
    const invoice = Generators.invoice({ customer_id: customerId })
    const head = yield* here.head
    yield* here.create(invoice)
    yield* elsewhere(
      Effect.gen(function* () {
        const there = yield* InvoiceStore
        assert.strictEqual((yield* there.get(invoice.id)).status, "Pending")
        const error = yield* Effect.flip(there.create({ ...invoice, notes: "something else" }))
        assert.strictEqual(error._tag, "InvoiceConflict")
        assert.deepStrictEqual(outcomes(yield* there.decide([decision(invoice, reject)])), ["Decided"])
        // an instance's earlier reads and writes don't hide later writes of the other instance
        assert.strictEqual((yield* here.get(invoice.id)).status, "Rejected")
        assert.deepStrictEqual(outcomes(yield* here.decide([decision(invoice, approve)])), ["AlreadyFinal"])
        for (const store of [here, there]) {
          const { items } = yield* store.list({ customerId, limit: 10 })
          assert.deepStrictEqual(
            items.map(({ status, version }) => [status, version]),
            [["Rejected", 2]]
          )
          const { changes } = yield* store.changes({ cursor: head, limit: 10 })
          assert.deepStrictEqual(
            changes.map(({ id, version }) => [id, version]),
            [1, 2].map((version) => [invoice.id, version])
          )
        }
      })
    )
  })

const races = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const here = yield* InvoiceStore
    yield* elsewhere(
      Effect.gen(function* () {
        const there = yield* InvoiceStore
        const stores = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? here : there))
        const invoice = Generators.invoice()
        const created = yield* Effect.forEach(
          stores,
          (store, index) => Effect.option(store.create({ ...invoice, notes: `racer ${index}` })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(created.filter(({ _tag }) => _tag === "Some").length, 1)
        const decided = yield* Effect.forEach(
          stores,
          (store, index) => store.decide([decision(invoice, index % 3 === 0 ? approve : reject)]),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(outcomes(decided.flat()).filter((outcome) => outcome === "Decided").length, 1)
        assert.strictEqual((yield* eventsOf(invoice)).length, 2)
      })
    )
  })

export const storeInstanceLaws = (law: MakeLaw, elsewhere: Elsewhere): ReadonlyArray<Law> => [
  law("invoices, their history and their events outlive the instance that wrote them", restart(elsewhere), "durable"),
  law("cursors outlive the instance that handed them out", cursors(elsewhere), "durable"),
  law("what one instance writes another one sees at once", seenAtOnce(elsewhere), "multiProcess"),
  law("of many who race through two instances one wins", races(elsewhere), "multiProcess")
]
