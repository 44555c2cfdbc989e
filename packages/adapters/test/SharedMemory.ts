/** Memory stores whose state the tests can reach: one that outlives its layer, and one whose keys can be made older. */
import type { InvoiceStore, Outbox } from "@invoice/core"
import { Effect, Layer, Option } from "effect"
import * as MemoryOutbox from "../src/memory/MemoryOutbox.ts"
import * as MemoryStore from "../src/memory/MemoryStore.ts"
import { State } from "../src/memory/State.ts"

/** Like `Memory.layer`, with the state among its services. */
export const withState: Layer.Layer<InvoiceStore | Outbox | State> = Layer.fresh(
  Layer.mergeAll(MemoryStore.layer, MemoryOutbox.layer).pipe(Layer.provideMerge(State.layer))
)

/** Outlives its layer, as a database does: every layer built of it is one more instance. */
export const shared = (): Layer.Layer<InvoiceStore | Outbox | State> =>
  Layer.succeedContext(Effect.runSync(Effect.scoped(Layer.build(withState))))

/** Makes every idempotency key of the state around older. */
export const ageKeys = (millis: number): Effect.Effect<void> =>
  Effect.map(Effect.serviceOption(State), (state) => {
    const { keys } = Option.getOrThrow(state)
    for (const [name, entry] of keys) keys.set(name, { ...entry, at: entry.at - millis })
  })
