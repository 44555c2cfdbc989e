/**
 * The laws of `InvoiceStore` (and of the events it leaves in its `Outbox`), for whoever writes an adapter.
 *
 * ```ts
 * suite("my store", MyStore.layer(options))
 * ```
 *
 * Every law makes invoices of its own; nothing is cleaned up, and other invoices may be there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Invoice, InvoiceStore, Outbox, Profile, type Verdict } from "@invoice/core"
import type { Recorded } from "@invoice/core/InvoiceEvent"
import type { Change, Decision, ListQuery } from "@invoice/core/ports/InvoiceStore"
import { Arbitrary, Effect, type Layer, Option } from "effect"
import * as Generators from "./Generators.ts"
import * as StoreModel from "./StoreModel.ts"

type Ports = InvoiceStore | Outbox

export interface Law {
  readonly name: string
  /** Fails or dies when the law is broken. */
  readonly law: Effect.Effect<void, unknown>
}

const approve: Verdict.Verdict = { status: "Approved", violations: [], by: "test@1" }

const reject: Verdict.Verdict = {
  status: "Rejected",
  by: "test@1",
  violations: [
    {
      code: "T-1",
      severity: "error",
      path: "/items/0/total",
      message: 'says "why" — żółć',
      expected: "1.00",
      actual: "2"
    },
    { code: "T-2", severity: "warning", path: "", message: "and a warning" }
  ]
}

const decision = (invoice: Invoice.Invoice, verdict: Verdict.Verdict, version = 1): Decision => ({
  id: invoice.id,
  version,
  verdict
})

const decoder = new TextDecoder()

/** Every event of some invoices that is in the outbox, read from its very beginning. */
const eventsOf = (...invoices: ReadonlyArray<Invoice.Invoice>) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const keys = new Set<string>(invoices.map(({ id }) => id))
    const acquire = outbox.acquire({ lane: 0, owner: crypto.randomUUID(), ttlMillis: 60_000 })
    // released also when a law fails, so that the laws after it are judged for themselves
    return yield* Effect.acquireUseRelease(
      Effect.map(acquire, Option.getOrThrow),
      (lease) =>
        Effect.gen(function* () {
          const found: Array<Recorded> = []
          let position = lease.position
          let more = true
          while (more) {
            const page = yield* outbox.read({ lease, position, limit: 1_000 })
            found.push(...page.events.filter(({ key }) => keys.has(key)))
            position = page.next
            more = page.more
          }
          return found
        }),
      (lease) => Effect.ignore(outbox.release(lease))
    )
  })

const outcomes = (decided: ReadonlyArray<{ readonly outcome: string }>) => decided.map(({ outcome }) => outcome)

/** The laws over a layer, one by one, so that a test can also see that a broken adapter fails them. */
export const laws = (layer: Layer.Layer<Ports, unknown>): ReadonlyArray<Law> => {
  const law = (name: string, effect: Effect.Effect<void, unknown, Ports>): Law => ({
    name,
    law: Effect.provide(effect, layer)
  })
  return [
    law(
      "any invoice that the types hold comes back with the same content",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoices = yield* Arbitrary.sampleEffect(Generators.anyInvoice, { count: 100 })
        for (const invoice of invoices) {
          const created = yield* store.create(invoice)
          const stored = yield* store.get(invoice.id)
          assert.strictEqual(Invoice.canonical(stored.invoice), Invoice.canonical(invoice))
          assert.deepStrictEqual(created.stored.storedAt, stored.storedAt)
        }
      })
    ),
    law(
      "a new invoice is pending at version 1 with one event and one line of history",
      Effect.gen(function* () {
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
    ),
    law(
      "the same invoice again is unchanged and leaves no second event",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoice = Generators.invoice()
        yield* store.create(invoice)
        const again = yield* store.create(invoice)
        assert.strictEqual(again.outcome, "Unchanged")
        assert.strictEqual((yield* eventsOf(invoice)).length, 1)
      })
    ),
    law(
      "another invoice with a known id is a conflict and changes nothing",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoice = Generators.invoice()
        yield* store.create(invoice)
        const error = yield* Effect.flip(store.create({ ...invoice, notes: "something else" }))
        assert.strictEqual(error._tag, "InvoiceConflict")
        assert.strictEqual((yield* store.get(invoice.id)).invoice.notes, invoice.notes)
        assert.strictEqual((yield* eventsOf(invoice)).length, 1)
      })
    ),
    law(
      "of twenty different invoices racing for one id one wins, and the others are told",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoice = Generators.invoice()
        const results = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) =>
            Effect.result(store.create({ ...invoice, notes: `racer ${index}` }))
          ),
          { concurrency: "unbounded" }
        )
        const won = results.filter(({ _tag }) => _tag === "Success")
        assert.strictEqual(won.length, 1)
        for (const result of results) {
          assert.isTrue(result._tag === "Success" || result.failure._tag === "InvoiceConflict")
        }
        assert.strictEqual((yield* eventsOf(invoice)).length, 1)
      })
    ),
    law(
      "the lines come back in the order given",
      Effect.gen(function* () {
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
    ),
    law(
      "an unknown id is not found",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const { id } = Generators.invoice()
        assert.strictEqual((yield* Effect.flip(store.get(id)))._tag, "InvoiceNotFound")
        assert.strictEqual((yield* Effect.flip(store.history(id)))._tag, "InvoiceNotFound")
      })
    ),
    law(
      "many at once: those that exist, each once",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const [one, two, unknown] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
        yield* store.create(one)
        yield* store.create(two)
        const found = yield* store.getMany([one.id, unknown.id, two.id, one.id])
        assert.deepStrictEqual(found.map(({ invoice }) => invoice.id).sort(), [one.id, two.id].sort())
        assert.deepStrictEqual(yield* store.getMany([]), [])
      })
    ),
    law(
      "a verdict is kept with its reasons, byte for byte, with its event and its history",
      Effect.gen(function* () {
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
    ),
    law(
      "a decided invoice can't be decided again, whatever the version says",
      Effect.gen(function* () {
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
    ),
    law(
      "a batch of verdicts: an outcome for each, as if they were applied one after the other",
      Effect.gen(function* () {
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
        assert.deepStrictEqual(outcomes(decided), [
          "NotFound",
          "Stale",
          "Stale",
          "Decided",
          "AlreadyFinal",
          "AlreadyFinal"
        ])
        assert.strictEqual((yield* store.get(one.id)).status, "Approved")
        assert.strictEqual((yield* store.get(two.id)).status, "Pending")
      })
    ),
    law(
      "of twenty verdicts racing for one invoice one is applied",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoice = Generators.invoice()
        yield* store.create(invoice)
        const results = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) =>
            store.decide([decision(invoice, index % 2 === 0 ? approve : reject)])
          ),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(results.flat().filter(({ outcome }) => outcome === "Decided").length, 1)
        assert.strictEqual((yield* eventsOf(invoice)).length, 2)
      })
    ),
    law(
      "a list goes newest first through pages that lose and repeat nothing while invoices arrive",
      Effect.gen(function* () {
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
          seen.push(...page.items.map(({ invoice }) => invoice.id))
          cursor = Option.getOrUndefined(page.next)
          yield* store.create(Generators.invoice({ customer_id: customerId }))
        } while (cursor !== undefined)
        assert.deepStrictEqual(seen, ids)
        assert.strictEqual((yield* Effect.flip(store.list({ limit: 1, cursor: "nonsense" })))._tag, "InvalidCursor")
      })
    ),
    law(
      "a list holds what its filters ask for, and nothing else",
      Effect.gen(function* () {
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
      })
    ),
    law(
      "every change is told once, those of one invoice in order, from any cursor on, while invoices arrive",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const head = yield* store.head
        const invoices = Array.from({ length: 30 }, () => Generators.invoice())
        yield* Effect.forEach(
          invoices,
          (invoice, index) =>
            Effect.andThen(store.create(invoice), store.decide([decision(invoice, index % 2 ? approve : reject)])),
          { concurrency: 8 }
        )
        const ours = new Set<string>(invoices.map(({ id }) => id))
        const read = (from: string | undefined, limit: number) =>
          Effect.gen(function* () {
            const found: Array<Change> = []
            let cursor = from
            let more = true
            while (more) {
              const page = yield* store.changes({ cursor, limit })
              assert.isAtMost(page.changes.length, limit)
              found.push(...page.changes)
              cursor = page.next
              more = page.more
            }
            return found.filter(({ id }) => ours.has(id))
          })
        const all = yield* read(head, 7)
        for (const [index, invoice] of invoices.entries()) {
          const changes = all.filter(({ id }) => id === invoice.id)
          assert.deepStrictEqual(
            changes.map(({ status, version }) => [status, version]),
            [
              ["Pending", 1],
              [index % 2 ? "Approved" : "Rejected", 2]
            ]
          )
          assert.deepStrictEqual(changes[1]?.violations, index % 2 ? [] : reject.violations)
        }
        assert.strictEqual(all.length, 60)
        for (const at of [0, 23, 41, 59]) {
          assert.deepStrictEqual(
            (yield* read(all[at]?.cursor, 9)).map(({ id, version }) => [id, version]),
            all.slice(at + 1).map(({ id, version }) => [id, version])
          )
        }
        assert.strictEqual((yield* read(undefined, 1_000)).length, 60)
        assert.deepStrictEqual(yield* read(yield* store.head, 9), [])
        for (const cursor of ["nonsense", "", "3:", "-1", "9:3:", "1|2"]) {
          assert.strictEqual((yield* Effect.flip(store.changes({ cursor, limit: 1 })))._tag, "InvalidCursor", cursor)
        }
      })
    ),
    law("any sequence of commands is answered as a model answers it", StoreModel.law),
    law(
      "a store that takes writes says so, and leaves no invoice, history or event behind",
      Effect.gen(function* () {
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
    ),
    law(
      "invoices that can't be stored never fail the ones that are stored at the same time",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const known = Generators.invoice()
        yield* store.create(known)
        const good = Array.from({ length: 40 }, () => Generators.invoice())
        const results = yield* Effect.all(
          good.flatMap((invoice, index) => [
            Effect.asVoid(store.create(invoice)),
            // a conflict, and a text that the parse gate never lets through
            Effect.ignoreCause(
              store.create(
                index % 2 === 0 ? { ...known, notes: `${index}` } : { ...Generators.invoice(), notes: "\u0000" }
              )
            )
          ]),
          { concurrency: "unbounded", mode: "result" }
        )
        assert.isTrue(results.every(({ _tag }) => _tag === "Success"))
        assert.strictEqual((yield* store.getMany(good.map(({ id }) => id))).length, good.length)
        assert.strictEqual((yield* eventsOf(...good)).length, good.length)
        assert.strictEqual((yield* eventsOf(known)).length, 1)
      })
    ),
    law(
      "the default profile's verdict on a stored invoice is its verdict on the invoice",
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoice = Generators.invoice({ amount: "1050.01" })
        yield* store.create(invoice)
        const { invoice: stored } = yield* store.get(invoice.id)
        assert.deepStrictEqual(Profile.judge(Profile.core, stored), Profile.judge(Profile.core, invoice))
      })
    )
  ]
}

export const suite = (name: string, layer: Layer.Layer<Ports, unknown>): void => {
  describe(name, () => {
    for (const { law, name: says } of laws(layer)) {
      it.live(says, () => law)
    }
  })
}
