/** Stores that list, tell changes, or share them between instances wrongly. */
import { InvalidCursor, InvoiceNotFound, Timestamp } from "@invoice/core"
import type { Change, Page, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import * as Memory from "../../src/memory/Memory.ts"
import type { Ports } from "./Broken.ts"
import { instances, law, mutant, type Store } from "./BrokenStore.ts"
import type { Mutant } from "./Suite.ts"

const numbersFromTheNewest = (store: Store): Partial<Store> => ({
  list: ({ cursor = "0", limit, ...query }) =>
    /^\d+$/u.test(cursor)
      ? Effect.map(store.list({ ...query, limit: 200 }), ({ items }) => ({
          items: items.slice(Number(cursor), Number(cursor) + limit),
          next: Number(cursor) + limit < items.length ? Option.some(`${Number(cursor) + limit}`) : Option.none()
        }))
      : Effect.fail(new InvalidCursor({ cursor }))
})

const nanosecondLater = (time: Timestamp.Timestamp): Timestamp.Timestamp =>
  Timestamp.parse(Timestamp.toSortable(time).replace(/\d(?=Z$)/u, (digit) => `${Number(digit) + 1}`)) ?? time

export const lists: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "lists pages backwards",
    (store) => ({
      list: (query) => Effect.map(store.list(query), (page) => ({ ...page, items: page.items.toReversed() }))
    }),
    law.newestFirst
  ),
  mutant("numbers the invoices of a list from the newest", numbersFromTheNewest, law.newestFirst, law.walked),
  mutant(
    "ignores a filter of its list",
    (store) => ({ list: (query) => store.list({ ...query, status: undefined }) }),
    law.filtered,
    law.model
  ),
  mutant(
    "ignores a limit of due dates",
    (store) => ({ list: (query) => store.list({ ...query, dueBefore: undefined }) }),
    law.everySet,
    law.model
  ),
  mutant(
    "ignores a limit of the time of storing",
    (store) => ({ list: (query) => store.list({ ...query, storedAfter: undefined }) }),
    law.everySet
  ),
  mutant(
    "leaves out what is due just when the range begins",
    (store) => ({
      list: (query) => store.list({ ...query, dueAfter: query.dueAfter && nanosecondLater(query.dueAfter) })
    }),
    law.everySet,
    law.model
  ),
  mutant(
    "lists what was stored just when the range ends",
    (store) => ({
      list: (query) => store.list({ ...query, storedBefore: query.storedBefore && nanosecondLater(query.storedBefore) })
    }),
    law.everySet
  ),
  mutant(
    "ends a list where a page is full of bytes",
    (store) => ({
      list: (query) =>
        Effect.map(store.list(query), (page) =>
          page.items.length < query.limit ? { ...page, next: Option.none() } : page
        )
    }),
    law.pagesByBytes
  ),
  mutant(
    "holds in a page whatever it is asked for",
    (store) => ({
      list: Effect.fnUntraced(function* (query) {
        const items: Array<StoredInvoice> = []
        let next = Option.fromUndefinedOr(query.cursor)
        do {
          const limit = query.limit - items.length
          const page: Page = yield* store.list({ ...query, limit, cursor: Option.getOrUndefined(next) })
          items.push(...page.items)
          next = page.next
        } while (Option.isSome(next) && items.length < query.limit)
        return { items, next }
      })
    }),
    law.pagesByBytes
  ),
  mutant(
    "ends a page after each invoice",
    (store) => ({ list: (query) => store.list({ ...query, limit: 1 }) }),
    law.pagesByBytes,
    law.mostListed
  ),
  mutant(
    "lists a hundred at most",
    (store) => ({ list: (query) => store.list({ ...query, limit: Math.min(query.limit, 100) }) }),
    law.mostListed
  ),
  mutant(
    "reads a thousand by their ids at most",
    (store) => ({ getMany: (ids) => store.getMany(ids.slice(0, 1_000)) }),
    law.mostRead
  ),
  mutant(
    "decides a thousand at most",
    (store) => ({ decide: (decisions) => store.decide(decisions.slice(0, 1_000)) }),
    law.mostDecided
  ),
  mutant(
    "tells a thousand changes at most",
    (store) => ({
      changes: (options) => store.changes({ ...options, limit: Math.min(options.limit, 1_000) })
    }),
    law.mostDecided
  )
]

const changed = (change: (changes: ReadonlyArray<Change>) => ReadonlyArray<Change>) => (store: Store) => ({
  changes: (options: Parameters<Store["changes"]>[0]) =>
    Effect.map(store.changes(options), (page) => ({ ...page, changes: change(page.changes) }))
})

export const changes: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "passes over a change",
    changed((changes) => changes.filter((_, index) => index !== 3)),
    law.changes
  ),
  mutant(
    "tells changes backwards",
    changed((changes) => changes.toReversed()),
    law.changes
  ),
  mutant(
    "gives all changes of a page the cursor of its end",
    changed((changes) => changes.map((change) => ({ ...change, cursor: changes.at(-1)?.cursor ?? change.cursor }))),
    law.changes
  ),
  mutant(
    "ends an empty page at the beginning",
    (store) => ({
      changes: (options) =>
        Effect.map(store.changes(options), (page) => (page.changes.length === 0 ? { ...page, next: "0" } : page))
    }),
    law.empty
  ),
  mutant(
    "skips what comes after an empty page",
    (store) => ({
      changes: (options) =>
        Effect.map(store.changes(options), (page) =>
          page.changes.length === 0 ? { ...page, next: `${Number(page.next) + 1}` } : page
        )
    }),
    law.empty
  ),
  mutant(
    "has its head one change too early",
    (store) => ({ head: Effect.map(store.head, (head) => `${Number(head) - 1}`) }),
    law.head
  ),
  mutant(
    "takes every cursor that it doesn't know for the beginning",
    (store) => ({
      changes: (options) =>
        Effect.catchTag(store.changes(options), "InvalidCursor", () => store.changes({ limit: options.limit }))
    }),
    law.foreign,
    law.beyond
  ),
  mutant(
    "waits at a cursor beyond its head",
    (store) => ({
      changes: (options) =>
        Effect.catchTag(store.changes(options), "InvalidCursor", (error) =>
          /^\d+$/u.test(error.cursor)
            ? Effect.succeed({ changes: [], next: error.cursor, more: false })
            : Effect.fail(error)
        )
    }),
    law.beyond
  )
]

/** Answers again what it answered before, as a cache in each process would. */
const cachesInvoices = (store: Store): Partial<Store> => {
  const known = new Map<string, StoredInvoice>()
  return {
    get: (id) => {
      const stored = known.get(id)
      return stored === undefined
        ? Effect.tap(store.get(id), (stored) => Effect.sync(() => known.set(id, stored)))
        : Effect.succeed(stored)
    },
    create: (invoice, options) =>
      Effect.tap(store.create(invoice, options), ({ stored }) => Effect.sync(() => known.set(invoice.id, stored)))
  }
}

/** Knows only what it wrote itself. */
const knowsItsOwn = (store: Store): Partial<Store> => {
  const own = new Set<string>()
  return {
    create: (invoice, options) => {
      own.add(invoice.id)
      return store.create(invoice, options)
    },
    get: (id) => (own.has(id) ? store.get(id) : Effect.fail(new InvoiceNotFound({ id })))
  }
}

/** Lets one of its own through at a time, and so decides by what it remembers. */
const decidesByMemory = (store: Store): Partial<Store> => {
  const decided = new Set<string>()
  return {
    decide: (decisions) =>
      Effect.map(store.decide(decisions), (outcomes) =>
        outcomes.map((one) => {
          if (decided.has(one.id)) return { ...one, outcome: "AlreadyFinal" as const }
          decided.add(one.id)
          return { ...one, outcome: one.outcome === "AlreadyFinal" ? ("Decided" as const) : one.outcome }
        })
      )
  }
}

/** Its cursors count from where the instance began. */
const countsFromItsStart = (store: Store): Partial<Store> => {
  const start = Number(Effect.runSync(Effect.orDie(store.head)))
  const out = (cursor: string) => `${Number(cursor) - start}`
  return {
    head: Effect.map(store.head, out),
    changes: ({ cursor = "0", limit }) =>
      Effect.map(store.changes({ cursor: `${Number(cursor) + start}`, limit }), (page) => ({
        changes: page.changes.map((change) => ({ ...change, cursor: out(change.cursor) })),
        next: out(page.next),
        more: page.more
      }))
  }
}

export const severalInstances: ReadonlyArray<Mutant<Ports>> = [
  { fault: "forgets everything with its instance", make: () => Memory.layer, fails: [law.restart, law.cursors] },
  instances("caches invoices in each process", cachesInvoices, law.together),
  instances("knows only what it wrote itself", knowsItsOwn, law.together, law.restart),
  instances("decides by what each process remembers", decidesByMemory, law.races),
  instances("counts its changes from its start", countsFromItsStart, law.cursors, law.together)
]
