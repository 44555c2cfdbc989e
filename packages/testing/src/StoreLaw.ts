/** The types of the laws of `InvoiceStoreContract`. */
import type { InvoiceStore, Outbox } from "@invoice/core"
import type { Effect, Scope } from "effect"
import type * as Contract from "./Contract.ts"

export type Ports = InvoiceStore | Outbox

/** What an adapter claims beyond the laws that hold for all of them. */
export interface Features {
  /** Whatever is written outlives the layer: a restart loses nothing. */
  readonly durable: boolean
  /** Several instances of the layer, in any processes, work on the same invoices. */
  readonly multiProcess: boolean
}

/** `cursorAfter` and `ageKeys` are claimed by giving the option of that name. */
export type Feature = keyof Features | "cursorAfter" | "ageKeys"

export type Law = Contract.Law<Feature>
export type MakeLaw = Contract.MakeLaw<Ports, Feature>
export type Elsewhere = Contract.Elsewhere<Ports>
export type Body = Effect.Effect<void, unknown, Ports | Scope.Scope>
