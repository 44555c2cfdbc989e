/** `InvoiceStore` in memory: for tests, examples and demonstrations. Every operation is one synchronous step. */
import { InvoiceStore } from "@invoice/core"
import { Effect, Layer } from "effect"
import * as CreateInvoices from "./CreateInvoices.ts"
import * as DecideInvoices from "./DecideInvoices.ts"
import * as MemoryChanges from "./MemoryChanges.ts"
import * as ReadInvoices from "./ReadInvoices.ts"
import { State } from "./State.ts"

/** On a state that is provided, to share it with the outbox. */
export const layer: Layer.Layer<InvoiceStore, never, State> = Layer.effect(
  InvoiceStore,
  Effect.map(State, (state) =>
    InvoiceStore.of({
      create: CreateInvoices.make(state),
      decide: DecideInvoices.make(state),
      ...ReadInvoices.make(state),
      ...MemoryChanges.make(state),
      ready: Effect.void,
      writable: Effect.void
    })
  )
)
