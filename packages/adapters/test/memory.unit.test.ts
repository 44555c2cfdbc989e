import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, Outbox, StoreUnavailable, type Verdict } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Effect, Layer } from "effect"
import * as Memory from "../src/memory/Memory.ts"

InvoiceStoreContract.suite("the memory store", Memory.layer)
OutboxContract.suite("the memory outbox", Memory.layer)

/** A memory adapter with some operations replaced by wrong ones. */
const brokenStore = (change: (store: InvoiceStore["Service"]) => Partial<InvoiceStore["Service"]>) =>
  Layer.fresh(
    Layer.effect(
      InvoiceStore,
      Effect.map(InvoiceStore, (store) => InvoiceStore.of({ ...store, ...change(store) }))
    ).pipe(Layer.provideMerge(Memory.layer))
  )

const brokenOutbox = (change: (outbox: Outbox["Service"]) => Partial<Outbox["Service"]>) =>
  Layer.fresh(
    Layer.effect(
      Outbox,
      Effect.map(Outbox, (outbox) => Outbox.of({ ...outbox, ...change(outbox) }))
    ).pipe(Layer.provideMerge(Memory.layer))
  )

const failing = (laws: ReadonlyArray<InvoiceStoreContract.Law>) =>
  Effect.map(
    Effect.forEach(laws, ({ law, name }) =>
      Effect.map(Effect.exit(law), ({ _tag }) => (_tag === "Failure" ? [name] : []))
    ),
    (names) => names.flat()
  )

describe("the contract suites", () => {
  it.live("catch a store that loses the order of lines", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => ({
        get: (id) =>
          Effect.map(store.get(id), (stored) => ({
            ...stored,
            invoice: { ...stored.invoice, lines: [...stored.invoice.lines].reverse() }
          }))
      }))
      assert.include(yield* failing(InvoiceStoreContract.laws(layer)), "the lines come back in the order given")
    })
  )

  it.live("catch a store that says Created to everyone", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => ({
        create: (invoice) =>
          Effect.catch(
            Effect.map(store.create(invoice), (creation) => ({ ...creation, outcome: "Created" as const })),
            () => Effect.orDie(Effect.map(store.get(invoice.id), (stored) => ({ stored, outcome: "Created" as const })))
          )
      }))
      assert.include(
        yield* failing(InvoiceStoreContract.laws(layer)),
        "another invoice with a known id is a conflict and changes nothing"
      )
    })
  )

  it.live("catch an outbox that skips, and one that ignores the epoch", () =>
    Effect.gen(function* () {
      const skipping = brokenOutbox((outbox) => ({
        read: (options) =>
          Effect.map(outbox.read(options), (page) => ({
            ...page,
            events: page.events.filter((_, index) => index !== 3)
          }))
      }))
      assert.include(
        yield* failing(OutboxContract.laws(skipping)),
        "with sixteen writers at work nothing is lost, repeated or out of order"
      )
      const careless = brokenOutbox(() => ({ commit: () => Effect.void, renew: () => Effect.void }))
      assert.include(
        yield* failing(OutboxContract.laws(careless)),
        "what a relay writes after it lost its lane is refused"
      )
    })
  )

  it.live("catch a store that overwrites verdicts", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => {
        const last = new Map<string, Verdict.Verdict>()
        return {
          decide: (decisions) => {
            for (const { id, verdict } of decisions) last.set(id, verdict)
            return store.decide(decisions)
          },
          get: (id) => Effect.map(store.get(id), (stored) => ({ ...stored, ...last.get(id) }))
        }
      })
      assert.include(
        yield* failing(InvoiceStoreContract.laws(layer)),
        "a decided invoice can't be decided again, whatever the version says"
      )
    })
  )

  it.live("catch a store whose list ignores a filter", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => ({ list: (query) => store.list({ ...query, status: undefined }) }))
      assert.deepStrictEqual(yield* failing(InvoiceStoreContract.laws(layer)), [
        "a list holds what its filters ask for, and nothing else",
        "any sequence of commands is answered as a model answers it"
      ])
    })
  )

  it.live("catch a store that goes wrong only after some sequence of commands", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => {
        // a conflict leaves the next reading of its invoice one version too high
        const shaken = new Set<string>()
        return {
          create: (invoice) =>
            Effect.tapErrorTag(store.create(invoice), "InvoiceConflict", () =>
              Effect.sync(() => shaken.add(invoice.id))
            ),
          history: (id) =>
            Effect.map(store.history(id), (entries) =>
              shaken.delete(id) ? entries.map((entry) => ({ ...entry, version: entry.version + 1 })) : entries
            )
        }
      })
      assert.deepStrictEqual(yield* failing(InvoiceStoreContract.laws(layer)), [
        "any sequence of commands is answered as a model answers it"
      ])
    })
  )

  it.live("catch a store where one conflict fails the next invoice", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => {
        let spoiled = false
        return {
          create: (invoice) =>
            Effect.suspend(() => {
              if (!spoiled) return Effect.tapError(store.create(invoice), () => Effect.sync(() => (spoiled = true)))
              spoiled = false
              return Effect.fail(new StoreUnavailable({ kind: "unavailable", cause: "a neighbour" }))
            })
        }
      })
      assert.include(
        yield* failing(InvoiceStoreContract.laws(layer)),
        "invoices that can't be stored never fail the ones that are stored at the same time"
      )
    })
  )

  it.live("catch a store whose proof that it takes writes stays there", () =>
    Effect.gen(function* () {
      const layer = brokenStore((store) => ({
        writable: Effect.asVoid(Effect.orDie(Effect.suspend(() => store.create(Generators.invoice()))))
      }))
      assert.include(
        yield* failing(InvoiceStoreContract.laws(layer)),
        "a store that takes writes says so, and leaves no invoice, history or event behind"
      )
    })
  )

  it.live("catch an outbox that reads backwards", () =>
    Effect.gen(function* () {
      const layer = brokenOutbox((outbox) => ({
        read: (options) => Effect.map(outbox.read(options), (page) => ({ ...page, events: page.events.toReversed() }))
      }))
      assert.include(
        yield* failing(OutboxContract.laws(layer)),
        "everything is read once in pages of any size, in order of the changes of each key"
      )
    })
  )

  it.live("catch an outbox that gives one lane to two relays", () =>
    Effect.gen(function* () {
      const layer = brokenOutbox((outbox) => ({
        acquire: (options) => outbox.acquire({ ...options, owner: "everyone" })
      }))
      const names = yield* failing(OutboxContract.laws(layer))
      assert.include(names, "one relay holds a lane; the next one has a higher epoch")
      assert.include(names, "a lane whose lease has run out goes to the next relay, and its old holder is fenced off")
    })
  )
})
