/**
 * The laws of `InvoiceStore` (and of the events it leaves in its `Outbox`), for authors of adapters.
 *
 * ```ts
 * suite("my store", MyStore.layer(options), { durable: true, multiProcess: true })
 * ```
 *
 * Every law makes invoices of its own; nothing is cleaned up, and other invoices may be there. The laws read the outbox
 * through lane 0 and expect to be the only writers: give the suite a store that nobody else works on. The layer is
 * built anew for every law.
 */
import type { Duration, Layer } from "effect"
import { type ChangeOptions, changeLaws } from "./ChangeLaws.ts"
import * as Contract from "./Contract.ts"
import { creationLaws } from "./CreationLaws.ts"
import { decisionLaws } from "./DecisionLaws.ts"
import { type IdempotencyOptions, idempotencyLaws } from "./IdempotencyLaws.ts"
import { type BulkOptions, listLaws } from "./ListLaws.ts"
import { storeInstanceLaws } from "./StoreInstanceLaws.ts"
import type { Feature, Features, Law, Ports } from "./StoreLaw.ts"
import * as StoreModel from "./StoreModel.ts"

export type { Features, Law } from "./StoreLaw.ts"

export interface Options extends BulkOptions, ChangeOptions, IdempotencyOptions {
  /** How long a law may take; default a minute. */
  readonly timeout?: Duration.Input
}

const defaultTimeout = "1 minute"

/** The laws over a layer, one by one, so that a test can also see that a broken adapter fails them. */
export const laws = (layer: Layer.Layer<Ports, unknown>, options: Options = {}): ReadonlyArray<Law> => {
  const { elsewhere, law } = Contract.over<Ports, Feature>(layer, options.timeout ?? defaultTimeout)
  return [
    ...creationLaws(law),
    ...idempotencyLaws(law, elsewhere, options),
    ...decisionLaws(law),
    ...changeLaws(law, options),
    law("any sequence of commands is answered as a model answers it", StoreModel.law),
    ...storeInstanceLaws(law, elsewhere),
    ...listLaws(law, options)
  ]
}

/** Registers a test for each law; a law that is not claimed is reported as skipped, by name. */
export const suite = (
  name: string,
  layer: Layer.Layer<Ports, unknown>,
  features: Features = { durable: false, multiProcess: false },
  options: Options = {}
): void =>
  Contract.register(
    name,
    laws(layer, options),
    { ...features, cursorAfter: options.cursorAfter !== undefined, ageKeys: options.ageKeys !== undefined },
    options.timeout ?? defaultTimeout
  )
