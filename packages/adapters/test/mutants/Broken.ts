/** A sound memory store with faults put before it. */
import { InvoiceStore, Outbox } from "@invoice/core"
import { Context, Effect, Layer } from "effect"
import * as Memory from "../../src/memory/Memory.ts"

type Store = InvoiceStore["Service"]
export type Ports = Layer.Layer<InvoiceStore | Outbox>

export interface Fault {
  readonly store?: (store: Store) => Partial<Store>
  readonly outbox?: (outbox: Outbox["Service"]) => Partial<Outbox["Service"]>
}

/** A sound store with some operations replaced by wrong ones, anew for every instance of it. */
export const broken = ({ outbox, store }: Fault, sound: Ports = Memory.layer): Ports =>
  Layer.effectContext(
    Effect.map(Layer.build(sound), (services) => {
      const good = { store: Context.get(services, InvoiceStore), outbox: Context.get(services, Outbox) }
      return Context.make(InvoiceStore, { ...good.store, ...store?.(good.store) }).pipe(
        Context.add(Outbox, { ...good.outbox, ...outbox?.(good.outbox) })
      )
    })
  )
