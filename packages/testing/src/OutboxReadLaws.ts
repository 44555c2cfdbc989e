/** The laws of `OutboxContract` about reading events and about the position that is committed. */
import { assert } from "@effect/vitest"
import { InvoiceEvent, InvoiceStore, Outbox, Profile } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import { Effect, Fiber } from "effect"
import * as Generators from "./Generators.ts"
import type { BulkOptions } from "./ListLaws.ts"
import { atTheEnd, type Body, create, decide, drain, fill, ids, type Law, leased, type MakeLaw } from "./OutboxLaw.ts"

const decoder = new TextDecoder()

const once: Body = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const invoices = yield* create(11)
    yield* decide(invoices)
    for (const limit of [1, 4, 22, 1_000]) {
      const { events } = yield* drain(lease, position, limit)
      assert.strictEqual(events.length, 22)
      assert.strictEqual(new Set(ids(events)).size, 22)
      for (const { id } of invoices) {
        const versions = events.filter(({ key }) => key === id).map(({ version }) => version)
        assert.deepStrictEqual(versions, [1, 2])
      }
    }
  })
)

const goesOn: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const first = yield* atTheEnd((lease, position) =>
    Effect.gen(function* () {
      yield* create(2)
      const read = yield* drain(lease, position, 1_000)
      yield* outbox.commit(lease, read.position)
      yield* create(3)
      return yield* drain(lease, read.position, 1_000)
    })
  )
  const again = yield* leased((lease) => drain(lease, lease.position, 1_000))
  assert.strictEqual(first.events.length, 3)
  assert.deepStrictEqual(ids(again.events), ids(first.events))
})

const withinAWindow: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const rest = yield* atTheEnd((lease, position) =>
    Effect.gen(function* () {
      yield* create(7)
      const first = yield* outbox.read({ lease, position, limit: 2 })
      yield* outbox.commit(lease, first.next)
      return (yield* drain(lease, position, 1_000)).events.slice(2)
    })
  )
  const again = yield* leased((lease) => drain(lease, lease.position, 3))
  assert.strictEqual(rest.length, 5)
  assert.deepStrictEqual(ids(again.events), ids(rest))
})

const backwards: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const all = yield* atTheEnd((lease, position) =>
    Effect.gen(function* () {
      yield* create(5)
      const { events, position: end } = yield* drain(lease, position, 2)
      yield* outbox.commit(lease, end)
      yield* outbox.commit(lease, position)
      return events
    })
  )
  const again = yield* leased((lease) => drain(lease, lease.position, 1_000))
  assert.strictEqual(all.length, 5)
  assert.deepStrictEqual(ids(again.events), ids(all))
})

const empty: Body = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    let at = position
    for (let round = 0; round < 3; round++) {
      const empty = yield* outbox.read({ lease, position: at, limit: 10 })
      assert.deepStrictEqual(empty.events, [])
      assert.isFalse(empty.more)
      const [invoice] = yield* create(1)
      const next = yield* drain(lease, empty.next, 10)
      assert.deepStrictEqual(
        next.events.map(({ key }) => key),
        [`${invoice?.id}`]
      )
      at = next.position
    }
  })
)

const wholeEvents: Body = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
    const [traced, plain] = [Generators.invoice(), Generators.invoice({ amount: "1.00" })]
    const verdict = Profile.judge(Profile.core, plain)
    yield* store.create(traced, { traceparent })
    yield* store.create(plain)
    yield* store.decide([{ id: plain.id, version: 1, verdict, traceparent }])
    const { events } = yield* drain(lease, position, 10)
    const told = events.map(({ key, payload, topic, traceparent, type, version }) => ({
      ...{ key, topic, type, version, traceparent },
      payload: decoder.decode(payload)
    }))
    const expected = [
      { draft: InvoiceEvent.created(traced.id), traceparent },
      { draft: InvoiceEvent.created(plain.id), traceparent: undefined },
      { draft: InvoiceEvent.decided(plain.id, 2, verdict), traceparent }
    ].map(({ draft: { key, payload, topic, type, version }, traceparent }) => ({
      ...{ key, topic, type, version, traceparent },
      payload
    }))
    assert.deepStrictEqual(told, expected)
    assert.strictEqual(new Set(ids(events)).size, 3)
    assert.deepStrictEqual((yield* drain(lease, position, 2)).events, events, "the same when they are read again")
  })
)

const most = 10_000

const largePage = (bulk: BulkOptions): Body =>
  atTheEnd((lease, position) =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      yield* fill(most, bulk)
      const page = yield* outbox.read({ lease, position, limit: most })
      assert.strictEqual(page.events.length, most)
      assert.strictEqual(new Set(ids(page.events)).size, most)
      assert.deepStrictEqual((yield* drain(lease, page.next, most)).events, [])
      yield* outbox.commit(lease, page.next)
    })
  )

const writersAtWork: Body = atTheEnd((lease, end) =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const outbox = yield* Outbox
    let position = end
    const expected = new Set<string>()
    const writing = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: 320 }),
        () => {
          const invoice = Generators.invoice()
          expected.add(invoice.id)
          return Effect.andThen(
            store.create(invoice),
            store.decide([{ id: invoice.id, version: 1, verdict: Profile.judge(Profile.core, invoice) }])
          )
        },
        { concurrency: 16, discard: true }
      )
    )
    const seen: Array<OutboxEvent> = []
    for (let idle = 0; idle < 5; ) {
      const page = yield* outbox.read({ lease, position, limit: 17 })
      seen.push(...page.events)
      position = page.next
      idle = page.events.length === 0 && !page.more && writing.pollUnsafe() !== undefined ? idle + 1 : 0
      yield* Effect.sleep("1 millis")
    }
    yield* Fiber.join(writing)
    assert.strictEqual(seen.length, 640)
    const last = new Map<string, number>()
    for (const { key, version } of seen) {
      assert.strictEqual(version, (last.get(key) ?? 0) + 1)
      last.set(key, version)
    }
    assert.deepStrictEqual(new Set(last.keys()), expected)
  })
)

export const outboxReadLaws = (law: MakeLaw, bulk: BulkOptions): ReadonlyArray<Law> => [
  law("everything is read once in pages of any size, in order of the changes of each key", once),
  law("a relay goes on where the last one committed, and not further", goesOn),
  law("a position within a window is remembered", withinAWindow),
  law("a position may be committed backwards, and what is behind it is read again", backwards),
  law("an empty page leaves a position that goes on", empty),
  law("an event carries what its change told, an id of its own, and the trace context if there was one", wholeEvents),
  law("10,000 events are read in one page", largePage(bulk)),
  law("with sixteen writers at work nothing is lost, repeated or out of order", writersAtWork)
]
