/**
 * The laws of `Outbox`, for authors of adapters. They write through the adapter's `InvoiceStore`.
 *
 * ```ts
 * suite("my outbox", MyOutbox.layer(options), { durable: true, multiProcess: true })
 * ```
 *
 * The laws hold lane 0 while they run and expect to be the only writers: give the suite an outbox of one lane that no
 * relay works on. The layer is built anew for every law.
 */
import type { Duration, Layer } from "effect"
import * as Contract from "./Contract.ts"
import { type LagOptions, lagLaws } from "./LagLaws.ts"
import { leaseLaws } from "./LeaseLaws.ts"
import { outboxInstanceLaws } from "./OutboxInstanceLaws.ts"
import type { Features, Law, Ports } from "./OutboxLaw.ts"
import { outboxReadLaws } from "./OutboxReadLaws.ts"
import { parkingLaws } from "./ParkingLaws.ts"

export type { Features, Law } from "./OutboxLaw.ts"

export interface Options extends LagOptions {
  /** How long a law may take; default a minute. */
  readonly timeout?: Duration.Input
}

const defaultTimeout = "1 minute"

/** The laws over a layer, one by one, so that a test can also see that a broken adapter fails them. */
export const laws = (layer: Layer.Layer<Ports, unknown>, options: Options = {}): ReadonlyArray<Law> => {
  const { elsewhere, law } = Contract.over<Ports, keyof Features>(layer, options.timeout ?? defaultTimeout)
  return [
    ...outboxReadLaws(law, options),
    ...leaseLaws(law),
    ...parkingLaws(law, options),
    ...outboxInstanceLaws(law, elsewhere),
    ...lagLaws(law, options)
  ]
}

/** Registers a test for each law; a law that is not claimed is reported as skipped, by name. */
export const suite = (
  name: string,
  layer: Layer.Layer<Ports, unknown>,
  features: Features = { durable: false, multiProcess: false },
  options: Options = {}
): void => Contract.register(name, laws(layer, options), features, options.timeout ?? defaultTimeout)
