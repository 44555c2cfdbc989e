import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, Outbox } from "@invoice/core"
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
})
