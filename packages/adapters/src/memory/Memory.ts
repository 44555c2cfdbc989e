/** Store and outbox over one shared state, as those of the Postgres adapter are over one database. */
import type { InvoiceStore, Outbox } from "@invoice/core"
import { Layer } from "effect"
import * as MemoryOutbox from "./MemoryOutbox.ts"
import * as MemoryStore from "./MemoryStore.ts"
import { State } from "./State.ts"

/** Built anew wherever it is provided: nothing is shared between two of them. */
export const layer: Layer.Layer<InvoiceStore | Outbox> = Layer.fresh(
  Layer.mergeAll(MemoryStore.layer, MemoryOutbox.layer).pipe(Layer.provide(State.layer))
)
