/**
 * The reference's random verdict: approves 90 % of the invoices, whatever they say. For demonstrations only. Seeded by
 * the invoice's id, so that the same invoice gets the same verdict however often it is judged.
 */
import { Effect, Layer } from "effect"
import type { Invoice } from "../domain/Invoice.ts"
import * as Verdict from "../domain/Verdict.ts"
import { InvoiceValidator } from "../ports/InvoiceValidator.ts"

export interface Options {
  /** Default 0. */
  readonly seed?: number
  /** 0 to 1, default 0.9 as the reference has it. */
  readonly approvalRate?: number
  /** Longest wait before a verdict in milliseconds, default 0; the reference waits up to 5,000. */
  readonly maxDelayMillis?: number
}

/** FNV-1a with a final avalanche: an evenly distributed number in [0, 1) from a seed and a text. */
const fractionOf = (seed: number, text: string): number => {
  let hash = 0x811c9dc5 ^ seed
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

const judge = (invoice: Invoice, seed: number, approvalRate: number): Verdict.Verdict =>
  Verdict.fromViolations(
    "simulated@1",
    fractionOf(seed, invoice.id) < approvalRate
      ? []
      : [{ code: "INV-SIMULATED", severity: "error", path: "", message: "the simulated validator's coin fell so" }]
  )

export const layer = (options: Options = {}): Layer.Layer<InvoiceValidator> => {
  const { approvalRate = 0.9, maxDelayMillis = 0, seed = 0 } = options
  return Layer.succeed(
    InvoiceValidator,
    InvoiceValidator.of({
      judge: (invoice) => {
        const verdict = Effect.sync(() => judge(invoice, seed, approvalRate))
        return maxDelayMillis === 0
          ? verdict
          : Effect.delay(verdict, `${Math.round(fractionOf(seed + 1, invoice.id) * maxDelayMillis)} millis`)
      }
    })
  )
}
