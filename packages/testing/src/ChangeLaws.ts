/** The laws of `InvoiceStoreContract` about the changes that a store reports. */
import { assert } from "@effect/vitest"
import { InvoiceStore } from "@invoice/core"
import type { Change } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import { approve, decision, reject } from "./Decisions.ts"
import * as Generators from "./Generators.ts"
import type { Body, Law, MakeLaw } from "./StoreLaw.ts"

/** Reads the changes behind a cursor, page by page; answers them and the cursor behind them. */
const drain = Effect.fnUntraced(function* (from: string | undefined, limit: number) {
  const store = yield* InvoiceStore
  const changes: Array<Change> = []
  let cursor = from
  let more = true
  while (more) {
    const page = yield* store.changes({ cursor, limit })
    assert.isAtMost(page.changes.length, limit)
    changes.push(...page.changes)
    cursor = page.next
    more = page.more
  }
  return { changes, cursor }
})

const once: Body = Effect.gen(function* () {
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
    Effect.map(drain(from, limit), ({ changes }) => changes.filter(({ id }) => ours.has(id)))
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
})

const foreign: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const long = `1:9:${"1,".repeat(100_000)}1`
  for (const cursor of [
    "nonsense",
    "",
    "3:",
    "-1",
    "9:3:",
    "1|2",
    "1:1:1",
    "3:9:9",
    "3:9:2",
    "3:9:5,4",
    "1:1:1|1:1:1|1",
    long
  ]) {
    assert.strictEqual(
      (yield* Effect.flip(store.changes({ cursor, limit: 1 })))._tag,
      "InvalidCursor",
      cursor.slice(0, 40)
    )
  }
})

const beyondHead = (cursorAfter: (head: string) => string): Body =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    yield* store.create(Generators.invoice())
    const cursor = cursorAfter(yield* store.head)
    assert.strictEqual((yield* Effect.flip(store.changes({ cursor, limit: 1 })))._tag, "InvalidCursor", cursor)
  })

const empty: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  yield* store.create(Generators.invoice())
  let { cursor } = yield* drain(yield* store.head, 10)
  for (let round = 0; round < 3; round++) {
    const page = yield* store.changes({ cursor, limit: 10 })
    assert.deepStrictEqual(page.changes, [])
    assert.isFalse(page.more)
    const invoice = Generators.invoice()
    yield* store.create(invoice)
    const next = yield* drain(page.next, 10)
    assert.deepStrictEqual(
      next.changes.map(({ id }) => id),
      [invoice.id]
    )
    cursor = next.cursor
  }
})

const head: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  for (let round = 0; round < 3; round++) {
    const before = Generators.invoice()
    yield* store.create(before)
    const cursor = yield* store.head
    const after = Generators.invoice()
    yield* store.create(after)
    const { changes } = yield* drain(cursor, 10)
    assert.deepStrictEqual(
      changes.map(({ id }) => id),
      [after.id]
    )
  }
})

/** What a test of the suite may know about the cursors of its store. */
export interface ChangeOptions {
  /** Makes, from the cursor at the head, a cursor that this store would hand out only after many more changes. */
  readonly cursorAfter?: ((head: string) => string) | undefined
}

export const changeLaws = (law: MakeLaw, { cursorAfter = (head) => head }: ChangeOptions): ReadonlyArray<Law> => [
  law("every change is told once, those of one invoice in order, from any cursor on, while invoices arrive", once),
  law("an empty page of changes leaves a cursor that goes on", empty),
  law("the head is behind what is committed, and before what comes", head),
  law("a cursor that the store did not hand out is invalid", foreign),
  law("a cursor beyond the head is invalid", beyondHead(cursorAfter), "cursorAfter")
]
