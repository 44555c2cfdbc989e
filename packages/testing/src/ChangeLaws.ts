/** The laws of `InvoiceStoreContract` about the changes that a store reports. */
import { assert } from "@effect/vitest"
import { InvoiceStore } from "@invoice/core"
import type { Change, ChangesPage } from "@invoice/core/ports/InvoiceStore"
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
  assert.isAtMost(head.length, 1_024)
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
    "AA",
    "AwB",
    "AwA.AwA",
    "AwA.AwA.",
    "AwA=",
    "A".repeat(1_000),
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

const upTo: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const invoices = Array.from({ length: 25 }, () => Generators.invoice())
  const create = (from: number, to: number) =>
    Effect.forEach(invoices.slice(from, to), (invoice) => store.create(invoice), { concurrency: 8 })
  const start = yield* store.head
  yield* create(0, 15)
  const until = yield* store.head
  yield* create(15, 25)
  for (const from of [start, undefined]) {
    for (const limit of [4, 15, 1_000]) {
      const ids: Array<string> = []
      let cursor = from
      for (let pages = 0; cursor !== until; pages++) {
        const page: ChangesPage = yield* store.changes({ cursor, limit, until })
        // a database that others use too may have more pages
        assert.isTrue(page.changes.length > 0 || page.next === until || pages < 100, "it never ends at `until`")
        ids.push(...page.changes.map(({ id }) => id))
        cursor = page.next
      }
      assert.deepStrictEqual(
        ids.filter((id) => invoices.some((invoice) => invoice.id === id)).toSorted(),
        invoices
          .slice(0, 15)
          .map(({ id }) => id)
          .toSorted()
      )
      const rest = yield* drain(cursor, 7)
      assert.deepStrictEqual(
        rest.changes.map(({ id }) => id).toSorted(),
        invoices
          .slice(15)
          .map(({ id }) => id)
          .toSorted()
      )
    }
  }
})

/** The size of a page that is told as JSON. */
const maxPage = 4_000_000

const large: Body = Effect.gen(function* () {
  const store = yield* InvoiceStore
  const start = yield* store.head
  const invoices = Array.from({ length: 25 }, () => Generators.invoice())
  const [violation] = reject.violations
  const violations = Array.from({ length: 1_000 }, (_, index) => ({
    code: "T-1",
    severity: "error" as const,
    path: `/items/${index}`,
    message: `${violation?.message} ${"x".repeat(100)}`
  }))
  yield* Effect.forEach(invoices, (invoice) => store.create(invoice), { concurrency: 8 })
  // one by one: together they could be more than a store writes in time
  yield* Effect.forEach(invoices, (invoice) => store.decide([decision(invoice, { ...reject, violations })]))
  const told: Array<Change> = []
  let cursor: string | undefined = start
  let more = true
  while (more) {
    const page: ChangesPage = yield* store.changes({ cursor, limit: 1_000 })
    assert.isTrue(page.changes.length <= 1 || JSON.stringify(page.changes).length <= maxPage)
    told.push(...page.changes)
    cursor = page.next
    more = page.more
  }
  assert.strictEqual(told.length, 50)
  assert.strictEqual(told.filter((change) => change.violations.length === 1_000).length, 25)
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
  law("a read of changes up to a cursor ends exactly there, and loses nothing behind it", upTo),
  law("a page of large changes ends early, and has at most 4 MB", large),
  law("a cursor that the store did not hand out is invalid", foreign),
  law("a cursor beyond the head is invalid", beyondHead(cursorAfter), "cursorAfter")
]
