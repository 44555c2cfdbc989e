/** The laws of `InvoiceStoreContract` about verdicts, and about when and in whose trace a change happened. */
import { assert } from "@effect/vitest"
import { InvoiceStore, type Timestamp } from "@invoice/core"
import { Clock, Effect, Option } from "effect"
import { approve, decision, eventsOf, outcomes, reject } from "./Decisions.ts"
import * as Generators from "./Generators.ts"
import type { Body, Law, MakeLaw } from "./StoreLaw.ts"

const decoder = new TextDecoder()

const reasons: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  yield* store.create(invoice)
  assert.deepStrictEqual(outcomes(yield* store.decide([decision(invoice, reject)])), ["Decided"])
  const stored = yield* store.get(invoice.id)
  assert.strictEqual(stored.status, "Rejected")
  assert.strictEqual(stored.version, 2)
  assert.strictEqual(JSON.stringify(stored.violations), JSON.stringify(reject.violations))
  const events = yield* eventsOf(invoice)
  assert.deepStrictEqual(
    events.map(({ topic, version }) => [topic, version]),
    [
      ["new_invoice", 1],
      ["invoice_rejected", 2]
    ]
  )
  assert.strictEqual(
    decoder.decode(events[1]?.payload),
    JSON.stringify({ id: invoice.id, status: "Rejected", version: 2, violations: reject.violations })
  )
  const [, change] = yield* store.history(invoice.id)
  assert.strictEqual(change?.by, "test@1")
  assert.strictEqual(change?.to, "Rejected")
  assert.deepStrictEqual(change?.from, Option.some("Pending" as const))
  assert.deepStrictEqual(change?.violations, reject.violations)
})

const final: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  yield* store.create(invoice)
  yield* store.decide([decision(invoice, reject)])
  const again = yield* store.decide([decision(invoice, approve)])
  const later = yield* store.decide([decision(invoice, approve, 2)])
  assert.deepStrictEqual([...outcomes(again), ...outcomes(later)], ["AlreadyFinal", "AlreadyFinal"])
  assert.strictEqual((yield* store.get(invoice.id)).status, "Rejected")
  assert.strictEqual((yield* eventsOf(invoice)).length, 2)
})

const batch: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const [one, two, unknown] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
  yield* store.create(one)
  yield* store.create(two)
  const approval = decision(one, approve)
  const decided = yield* store.decide([
    decision(unknown, approve),
    decision(two, approve, 7),
    decision(one, reject, 7),
    approval,
    decision(one, reject),
    approval
  ])
  assert.deepStrictEqual(outcomes(decided), ["NotFound", "Stale", "Stale", "Decided", "AlreadyFinal", "AlreadyFinal"])
  assert.strictEqual((yield* store.get(one.id)).status, "Approved")
  assert.strictEqual((yield* store.get(two.id)).status, "Pending")
})

const race: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoice = Generators.invoice()
  yield* store.create(invoice)
  const results = yield* Effect.all(
    Array.from({ length: 20 }, (_, index) => store.decide([decision(invoice, index % 2 === 0 ? approve : reject)])),
    { concurrency: "unbounded" }
  )
  assert.strictEqual(results.flat().filter(({ outcome }) => outcome === "Decided").length, 1)
  assert.strictEqual((yield* eventsOf(invoice)).length, 2)
})

const traced: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const traceparent = (digit: string) => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`
  const [both, late, none] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
  yield* store.create(both, { traceparent: traceparent("a") })
  yield* store.create(late)
  yield* store.create(none, {})
  yield* store.decide([
    { ...decision(both, approve), traceparent: traceparent("b") },
    { ...decision(late, reject), traceparent: traceparent("c") },
    decision(none, approve)
  ])
  const traces = (yield* eventsOf(both, late, none)).map(
    ({ key, traceparent, version }) => [`${key} ${version}`, traceparent] as const
  )
  assert.deepStrictEqual(
    new Map(traces),
    new Map([
      [`${both.id} 1`, traceparent("a")],
      [`${both.id} 2`, traceparent("b")],
      [`${late.id} 1`, undefined],
      [`${late.id} 2`, traceparent("c")],
      [`${none.id} 1`, undefined],
      [`${none.id} 2`, undefined]
    ])
  )
})

/** More than the difference between the clocks of two machines, and less than a time zone. */
const nearMillis = 60_000

const times: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const head = yield* store.head
  const invoice = Generators.invoice({ created_at: "2001-01-01T00:00:00Z", updated_at: "2001-01-01T00:00:00Z" })
  const { stored } = yield* store.create(invoice)
  yield* store.decide([decision(invoice, approve)])
  const { changes } = yield* store.changes({ cursor: head, limit: 10_000 })
  const told: ReadonlyArray<readonly [what: string, at: Timestamp.Timestamp]> = [
    ["storedAt", stored.storedAt],
    ["storedAt when it is read", (yield* store.get(invoice.id)).storedAt],
    ...(yield* store.history(invoice.id)).map(({ at }) => ["history", at] as const),
    ...changes.filter(({ id }) => id === invoice.id).map(({ at }) => ["change", at] as const),
    ...(yield* eventsOf(invoice)).map(({ at }) => ["event", at] as const)
  ]
  const now = yield* Clock.currentTimeMillis
  assert.strictEqual(told.length, 8)
  for (const [what, at] of told) {
    assert.isAtMost(Math.abs(Date.parse(at) - now), nearMillis, `${what}: ${at}`)
  }
})

export const decisionLaws = (law: MakeLaw): ReadonlyArray<Law> => [
  law("a verdict is kept with its reasons, byte for byte, with its event and its history", reasons),
  law("a decided invoice can't be decided again, whatever the version says", final),
  law("a batch of verdicts: an outcome for each, as if they were applied one after the other", batch),
  law("of twenty verdicts racing for one invoice one is applied", race),
  law("the trace context of a change travels with its event, and none is made up", traced),
  law("a change is dated when it happens, by the store's clock and not by the client's", times)
]
