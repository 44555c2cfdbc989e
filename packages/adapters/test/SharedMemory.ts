/** A memory store that outlives its layer, as a database does: every layer built of it is one more instance. */
import type { InvoiceStore, Outbox } from "@invoice/core"
import { Effect, Layer } from "effect"
import * as Memory from "../src/memory/Memory.ts"

export const shared = (): Layer.Layer<InvoiceStore | Outbox> =>
  Layer.succeedContext(Effect.runSync(Effect.scoped(Layer.build(Memory.layer))))
