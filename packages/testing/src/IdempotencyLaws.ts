/** The laws of `InvoiceStoreContract` about idempotency keys, and about who creates. */
import { assert } from "@effect/vitest"
import { IdempotencyKey, Invoice, InvoiceStore } from "@invoice/core"
import type { Creation, Idempotency } from "@invoice/core/ports/InvoiceStore"
import { Effect, Result } from "effect"
import { decision, eventsOf, reject } from "./Decisions.ts"
import * as Generators from "./Generators.ts"
import type { Body, Elsewhere, Law, MakeLaw, Ports } from "./StoreLaw.ts"

/** What a client asked for, as a hash: one that asks for `a`, and one that asks for something else. */
const hashOf = (content: "a" | "b"): string => content.repeat(64)

const newKey = (): Idempotency => ({ key: crypto.randomUUID(), principal: "mary", hash: hashOf("a") })

const otherContent = (idempotency: Idempotency): Idempotency => ({ ...idempotency, hash: hashOf("b") })

/** A creation with its content as canonical text, so that two can be compared. */
const shown = ({ outcome, stored: { invoice, ...rest } }: Creation) => ({
  outcome,
  ...rest,
  invoice: Invoice.canonical(invoice)
})

const isMissing = Effect.fnUntraced(function* (...invoices: ReadonlyArray<Invoice.Invoice>) {
  const store = yield* InvoiceStore
  assert.deepStrictEqual(yield* store.getMany(invoices.map(({ id }) => id)), [])
  assert.strictEqual((yield* eventsOf(...invoices)).length, 0)
})

const replay: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [invoice, generated] = [Generators.invoice(), Generators.invoice()]
  const idempotency = newKey()
  const first = yield* store.create(invoice, { idempotency })
  assert.strictEqual(first.outcome, "Created")
  const replayed = { ...shown(first), outcome: "Replayed" }
  assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency })), replayed)
  yield* store.decide([decision(invoice, reject)])
  assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency })), replayed)
  // the client asks for the same, and the id that was made for it is another one
  assert.deepStrictEqual(shown(yield* store.create(generated, { idempotency })), replayed)
  yield* isMissing(generated)
  assert.strictEqual((yield* eventsOf(invoice)).length, 2)
  assert.strictEqual((yield* store.history(invoice.id)).length, 2)
  assert.strictEqual((yield* store.get(invoice.id)).status, "Rejected")
})

const reused: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [invoice, other] = [Generators.invoice(), Generators.invoice()]
  const idempotency = newKey()
  const first = yield* store.create(invoice, { idempotency })
  for (const one of [other, { ...invoice, notes: "something else" }]) {
    const error = yield* Effect.flip(store.create(one, { idempotency: otherContent(idempotency) }))
    assert.strictEqual(error._tag, "IdempotencyKeyReused")
  }
  yield* isMissing(other)
  assert.strictEqual((yield* eventsOf(invoice)).length, 1)
  assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency })), { ...shown(first), outcome: "Replayed" })
})

/** Creates a hundred times at once with one key, each time with another id, through one store after the other. */
const atOnce = Effect.fnUntraced(function* (stores: ReadonlyArray<InvoiceStore["Service"]>) {
  const idempotency = newKey()
  const invoices = Array.from({ length: 100 }, () => Generators.invoice())
  const creations = yield* Effect.forEach(
    invoices.map((invoice, index) => ({ invoice, store: stores[index % stores.length] })),
    ({ invoice, store }) => (store === undefined ? Effect.die("no store") : store.create(invoice, { idempotency })),
    { concurrency: "unbounded" }
  )
  const [made, ...others] = creations.filter(({ outcome }) => outcome === "Created")
  assert.isDefined(made)
  assert.deepStrictEqual(others, [])
  for (const creation of creations) {
    assert.deepStrictEqual({ ...shown(creation), outcome: "Created" }, made && shown(made))
  }
  assert.strictEqual((yield* eventsOf(...invoices)).length, 1)
})

const parallel: Body = Effect.flatMap(InvoiceStore, (store) => atOnce([store]))

const ofTheSameId: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  const keys = Array.from({ length: 20 }, newKey)
  const create = Effect.forEach(keys, (idempotency) => store.create(invoice, { idempotency }), {
    concurrency: "unbounded"
  })
  const outcomes = (yield* create).map(({ outcome }) => outcome)
  assert.deepStrictEqual([...outcomes].sort(), ["Created", ...Array.from({ length: 19 }, () => "Unchanged")])
  assert.deepStrictEqual(
    (yield* create).map(({ outcome }) => outcome),
    outcomes.map((outcome) => (outcome === "Created" ? "Replayed" : outcome))
  )
  assert.strictEqual((yield* eventsOf(invoice)).length, 1)
})

const failingFirst: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [known, fresh] = [Generators.invoice(), Generators.invoice()]
  yield* store.create(known)
  const idempotency = newKey()
  const conflict = yield* Effect.flip(store.create({ ...known, notes: "something else" }, { idempotency }))
  assert.strictEqual(conflict._tag, "InvoiceConflict")
  const { outcome } = yield* store.create(fresh, { idempotency: otherContent(idempotency) })
  assert.strictEqual(outcome, "Created")
})

const principals: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const key = crypto.randomUUID()
  // the last two look the same when they are merely put together
  const names = [
    { principal: "mary", key },
    { principal: "joe", key },
    { principal: "mary ", key },
    { principal: "ann", key: `,${key}` },
    { principal: "ann,", key }
  ]
  for (const name of names) {
    const { outcome } = yield* store.create(Generators.invoice(), { idempotency: { ...newKey(), ...name } })
    assert.strictEqual(outcome, "Created", name.principal)
  }
})

const unchanged: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  const [pending, decided] = [newKey(), newKey()]
  yield* store.create(invoice)
  const first = yield* store.create(invoice, { idempotency: pending })
  yield* store.decide([decision(invoice, reject)])
  const second = yield* store.create(invoice, { idempotency: decided })
  assert.deepStrictEqual(
    [first, second].map(({ outcome, stored: { status, version } }) => [outcome, status, version]),
    [
      ["Unchanged", "Pending", 1],
      ["Unchanged", "Rejected", 2]
    ]
  )
  assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency: pending })), shown(first))
  assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency: decided })), shown(second))
  const error = yield* Effect.flip(store.create(Generators.invoice(), { idempotency: otherContent(pending) }))
  assert.strictEqual(error._tag, "IdempotencyKeyReused")
})

const neighbours: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const known = Generators.invoice()
  const idempotency = newKey()
  yield* store.create(known, { idempotency })
  const good = Array.from({ length: 40 }, () => Generators.invoice())
  const bad = Array.from({ length: 20 }, () => Generators.invoice())
  const requests = [
    ...good.map((invoice, index) => store.create(invoice, index % 2 === 0 ? { idempotency: newKey() } : {})),
    ...bad.flatMap((invoice, index) => [
      store.create(invoice, { idempotency: otherContent(idempotency) }),
      store.create({ ...known, notes: `${index}` }, { idempotency: newKey() }),
      // a text that the parser always refuses
      Effect.catchDefect(store.create({ ...invoice, notes: "\u0000" }, { idempotency: newKey() }), Effect.fail)
    ])
  ]
  const results = yield* Effect.forEach(requests, Effect.result, { concurrency: "unbounded" })
  assert.deepStrictEqual(
    results.slice(0, good.length).map((result) => (Result.isSuccess(result) ? result.success.outcome : "failed")),
    good.map(() => "Created" as const)
  )
  assert.strictEqual((yield* store.getMany(good.map(({ id }) => id))).length, good.length)
  assert.strictEqual((yield* eventsOf(...good)).length, good.length)
  assert.strictEqual((yield* eventsOf(known)).length, 1)
})

const expiry = (ageKeys: NonNullable<IdempotencyOptions["ageKeys"]>): Body =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const [invoice, later] = [Generators.invoice(), Generators.invoice()]
    const idempotency = newKey()
    const first = yield* store.create(invoice, { idempotency })
    yield* store.decide([decision(invoice, reject)])
    yield* ageKeys(IdempotencyKey.retentionMillis - 3_600_000)
    const replayed = { ...shown(first), outcome: "Replayed" }
    assert.deepStrictEqual(shown(yield* store.create(invoice, { idempotency })), replayed)
    yield* ageKeys(3_600_000)
    const again = { idempotency: otherContent(idempotency) }
    assert.strictEqual((yield* store.create(later, again)).outcome, "Created")
    assert.strictEqual((yield* store.create(later, again)).outcome, "Replayed")
    // from then on the key belongs to the later request
    assert.strictEqual((yield* Effect.flip(store.create(invoice, { idempotency })))._tag, "IdempotencyKeyReused")
  })

const by: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  for (const [options, expected] of [
    [{}, "api"],
    [{ by: "mary" }, "mary"],
    [{ by: "joe", idempotency: newKey() }, "joe"],
    [{ idempotency: newKey() }, "api"]
  ] as const) {
    const invoice = Generators.invoice()
    yield* store.create(invoice, options)
    yield* store.create(invoice, { ...options, by: "somebody else" })
    assert.deepStrictEqual(
      (yield* store.history(invoice.id)).map((entry) => entry.by),
      [expected]
    )
  }
})

const restart = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const invoice = Generators.invoice()
    const idempotency = newKey()
    const create = Effect.flatMap(InvoiceStore, (store) => store.create(invoice, { idempotency }))
    const first = yield* elsewhere(create)
    assert.deepStrictEqual(shown(yield* elsewhere(create)), { ...shown(first), outcome: "Replayed" })
  })

const throughTwo = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const here = yield* InvoiceStore
    yield* elsewhere(Effect.flatMap(InvoiceStore, (there) => atOnce([here, there])))
  })

export interface IdempotencyOptions {
  /** Makes every key that the store has older by so many milliseconds, for the law that it forgets keys. */
  readonly ageKeys?: ((millis: number) => Effect.Effect<void, unknown, Ports>) | undefined
}

export const idempotencyLaws = (
  law: MakeLaw,
  elsewhere: Elsewhere,
  { ageKeys = () => Effect.void }: IdempotencyOptions
): ReadonlyArray<Law> => [
  law("the retry of a request with a key gets the first answer, and leaves nothing behind", replay),
  law("a key that is used again for other content is refused, and nothing is written", reused),
  law("a hundred requests at once with one key make one invoice and get one answer", parallel),
  law("of many keys for one invoice one has created it, and each gets its answer again", ofTheSameId),
  law("a request that fails leaves its key free", failingFirst),
  law("the same key of another principal is another key", principals),
  law("a key for an invoice that is there already gets the invoice as it was then", unchanged),
  law("requests whose key or id is taken never fail the ones that are made at the same time", neighbours),
  law("a key is kept for 24 hours, and then another request may have it", expiry(ageKeys), "ageKeys"),
  law("the history of an invoice says who created it", by),
  law("keys outlive the instance that took them", restart(elsewhere), "durable"),
  law("a hundred requests with one key through two instances make one invoice", throughTwo(elsewhere), "multiProcess")
]
