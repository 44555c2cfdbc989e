/**
 * The laws of `InvoiceValidator`, for authors of validators.
 *
 * ```ts
 * suite("my validator", MyValidator.layer(options))
 * ```
 */
import { assert } from "@effect/vitest"
import { InvoiceValidator, type Verdict } from "@invoice/core"
import { rejects } from "@invoice/core/Violation"
import { type Duration, Effect, type Layer, type Scope } from "effect"
import * as Contract from "./Contract.ts"
import * as Generators from "./Generators.ts"

export type Law = Contract.Law<never>

export interface Options {
  /** How long a law may take; default a minute. */
  readonly timeout?: Duration.Input
}

type Body = Effect.Effect<void, unknown, InvoiceValidator | Scope.Scope>

const defaultTimeout = "1 minute"

/** Judges every invoice of a sample. */
const judgeAll = Effect.gen(function* () {
  const validator = yield* InvoiceValidator
  const invoices = yield* Generators.manyInvoices
  return yield* Effect.forEach([Generators.invoice(), ...invoices], (invoice) =>
    Effect.map(validator.judge(invoice), (verdict) => ({ invoice, verdict }))
  )
})

const total: Body = Effect.gen(function* () {
  for (const { verdict } of yield* judgeAll) {
    assert.include(["Approved", "Rejected"], verdict.status)
    assert.match(verdict.by, /^[^@]+@[^@]+$/u, "<profile>@<version>")
    for (const { code, message, path } of verdict.violations) {
      assert.isNotEmpty(code)
      assert.isNotEmpty(message)
      assert.match(path, /^(\/|$)/u, "a JSON pointer (RFC 6901)")
    }
  }
})

const reasoned: Body = Effect.gen(function* () {
  for (const { verdict } of yield* judgeAll) {
    assert.strictEqual(verdict.status, rejects(verdict.violations) ? "Rejected" : "Approved")
  }
})

const repeated: Body = Effect.gen(function* () {
  const validator = yield* InvoiceValidator
  const bytes = (verdict: Verdict.Verdict) => JSON.stringify(verdict)
  for (const { invoice, verdict } of yield* judgeAll) {
    assert.strictEqual(bytes(yield* validator.judge(invoice)), bytes(verdict))
  }
})

/** The laws over a layer, one by one, so that a test can also see that a broken validator fails them. */
export const laws = (layer: Layer.Layer<InvoiceValidator, unknown>, options: Options = {}): ReadonlyArray<Law> => {
  const { law } = Contract.over<InvoiceValidator, never>(layer, options.timeout ?? defaultTimeout)
  return [
    law("every invoice that the types hold gets a verdict", total),
    law("a verdict rejects exactly when one of its violations is an error", reasoned),
    law("the same invoice gets the same verdict, byte for byte, however often it is judged", repeated)
  ]
}

/** Registers a test for each law. */
export const suite = (name: string, layer: Layer.Layer<InvoiceValidator, unknown>, options: Options = {}): void =>
  Contract.register(name, laws(layer, options), {}, options.timeout ?? defaultTimeout)
