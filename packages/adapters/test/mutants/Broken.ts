/** A sound memory store with faults put before it. */
import { InvoiceStore, Outbox } from "@invoice/core"
import { Context, Effect, Layer } from "effect"
import { withState } from "../SharedMemory.ts"

type Store = InvoiceStore["Service"]
export type Ports = Layer.Layer<InvoiceStore | Outbox>

export interface Fault {
  readonly store?: (store: Store) => Partial<Store>
  readonly outbox?: (outbox: Outbox["Service"]) => Partial<Outbox["Service"]>
}

/** A sound store with some operations replaced by wrong ones, anew for every instance of it. */
export const broken = ({ outbox, store }: Fault, sound: Ports = withState): Ports =>
  Layer.effectContext(
    Effect.map(Layer.build(sound), (services) => {
      const good = { store: Context.get(services, InvoiceStore), outbox: Context.get(services, Outbox) }
      // the services of a memory store's tests stay as well
      return Context.add(services, InvoiceStore, { ...good.store, ...store?.(good.store) }).pipe(
        Context.add(Outbox, { ...good.outbox, ...outbox?.(good.outbox) })
      )
    })
  )
