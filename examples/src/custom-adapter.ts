/** A store of your own: here the memory store behind a log of every create. `examples.unit.test.ts` proves it. */
import { Memory } from "@invoice/adapters/memory"
import { InvoiceStore } from "@invoice/core"
import { Effect, Layer } from "effect"

/** An adapter is a layer that provides the port. This one wraps another adapter, and provides its outbox unchanged. */
export const layer = Layer.effect(
  InvoiceStore,
  Effect.map(InvoiceStore, (store) =>
    InvoiceStore.of({
      ...store,
      create: (invoice, options) =>
        Effect.tap(store.create(invoice, options), ({ outcome }) =>
          Effect.logDebug("create").pipe(Effect.annotateLogs({ id: invoice.id, outcome }))
        )
    })
  )
).pipe(Layer.provideMerge(Memory.layer))
