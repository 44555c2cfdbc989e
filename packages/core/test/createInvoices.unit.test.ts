/** Creating through the use cases: keys, generated ids, and in whose name. */
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import { type Invoice, InvoiceStore, Invoices, Principal, Profile, ProfileValidator } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"

const layer = Invoices.layer.pipe(
  Layer.provideMerge(Memory.layer),
  Layer.provide(ProfileValidator.layer(Profile.core)),
  Layer.fresh
)

const withoutId = () => {
  const { id: _, ...document } = Generators.document()
  return document
}

const create = (document: unknown, options?: Parameters<Invoices["Service"]["create"]>[1]) =>
  Effect.flatMap(Invoices, (invoices) => invoices.create(document, options))

const tagOf = <E extends { readonly _tag: string }, R>(effect: Effect.Effect<unknown, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

describe("a create with an idempotency key", () => {
  it.effect("answers the same document again, however its key and its numbers are written", () =>
    Effect.gen(function* () {
      const document = Generators.document({ amount: "10.50" })
      const first = yield* create(document, { idempotencyKey: "a1" })
      const again = yield* create({ ...document, amount: "10.5" }, { idempotencyKey: ' "a1"', pointer: "/invoice" })
      assert.deepStrictEqual([first.outcome, again.outcome], ["Created", "Replayed"])
      assert.deepStrictEqual(again.stored, first.stored)
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses the key for any other content", () =>
    Effect.gen(function* () {
      const document = Generators.document()
      yield* create(document, { idempotencyKey: "a1" })
      for (const other of [{ ...document, notes: "x" }, Generators.document()]) {
        assert.strictEqual(yield* tagOf(create(other, { idempotencyKey: "a1" })), "IdempotencyKeyReused")
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("makes one id for a document without one, whenever it comes again", () =>
    Effect.gen(function* () {
      const document = withoutId()
      const options = { idempotencyKey: "a1", generateId: true }
      const first = yield* create(document, options)
      yield* TestClock.adjust("1 hour")
      const again = yield* create({ ...document, id: null }, options)
      assert.deepStrictEqual([first.outcome, again.outcome], ["Created", "Replayed"])
      assert.strictEqual(again.stored.invoice.id, first.stored.invoice.id)
      // who names the id that was made asks for something else
      const named = create({ ...document, id: first.stored.invoice.id }, options)
      assert.strictEqual(yield* tagOf(named), "IdempotencyKeyReused")
    }).pipe(Effect.provide(layer))
  )

  it.effect("leaves the key of a faulty document free, and says what is wrong with a key", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* tagOf(create({}, { idempotencyKey: "a1" })), "InvalidInvoice")
      assert.strictEqual((yield* create(Generators.document(), { idempotencyKey: "a1" })).outcome, "Created")
      assert.strictEqual(
        yield* tagOf(create(Generators.document(), { idempotencyKey: "a b" })),
        "InvalidIdempotencyKey"
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("keeps the keys of principals apart, and names the principal in the history", () =>
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      const ids: Array<Invoice.InvoiceId> = []
      for (const name of [undefined, "mary", "joe"]) {
        const one = create(Generators.document(), { idempotencyKey: "a1" })
        const { outcome, stored } = yield* name === undefined ? one : Effect.provideService(one, Principal, name)
        assert.strictEqual(outcome, "Created")
        ids.push(stored.invoice.id)
      }
      const histories = yield* Effect.forEach(ids, store.history)
      assert.deepStrictEqual(
        histories.map(([entry]) => entry?.by),
        ["api", "mary", "joe"]
      )
    }).pipe(Effect.provide(layer))
  )
})

describe("a document without an id", () => {
  it.effect("gets UUIDs of version 7 that rise with time, if it may", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-01-02T03:04:05.678Z"))
      const ids: Array<string> = []
      for (let count = 0; count < 3; count++) {
        ids.push((yield* create(withoutId(), { generateId: true })).stored.invoice.id)
        yield* TestClock.adjust("1 millis")
      }
      for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
      assert.strictEqual(
        Number.parseInt(ids[0]?.replace("-", "").slice(0, 12) ?? "", 16),
        Date.parse("2026-01-02T03:04:05.678Z")
      )
      assert.deepStrictEqual([...ids].sort(), ids)
    }).pipe(Effect.provide(layer))
  )

  it.effect("has a missing id otherwise", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(create(withoutId(), { idempotencyKey: "a1" }))
      assert.strictEqual(error._tag, "InvalidInvoice")
      assert.include(error.message, "/id: ")
    }).pipe(Effect.provide(layer))
  )

  it.effect("keeps an id that it has, and a faulty one stays faulty", () =>
    Effect.gen(function* () {
      const document = Generators.document()
      assert.strictEqual(
        (yield* create(document, { generateId: true })).stored.invoice.id,
        (yield* create(document)).stored.invoice.id
      )
      assert.strictEqual(yield* tagOf(create({ ...document, id: "" }, { generateId: true })), "InvalidInvoice")
    }).pipe(Effect.provide(layer))
  )
})
