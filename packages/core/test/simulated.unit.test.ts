import { assert, describe, it } from "@effect/vitest"
import { type Invoice, InvoiceParser, InvoiceValidator, SimulatedValidator } from "@invoice/core"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"

/** The same invoices in every run. */
const numbered = (index: number): Invoice.Invoice =>
  Result.getOrThrow(
    InvoiceParser.parse({
      id: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
      customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
      amount: "1.00",
      currency: "USD",
      items: []
    })
  )

const statuses = (options: SimulatedValidator.Options, count: number) =>
  Effect.gen(function* () {
    const { judge } = yield* InvoiceValidator
    const verdicts = yield* Effect.forEach(
      Array.from({ length: count }, (_, index) => numbered(index)),
      judge
    )
    return verdicts.map(({ status }) => status)
  }).pipe(Effect.provide(SimulatedValidator.layer(options)))

const approved = (some: ReadonlyArray<string>): number => some.filter((status) => status === "Approved").length

describe("the simulated validator", () => {
  it.effect("gives an invoice the same verdict whenever it is asked, and another seed others", () =>
    Effect.gen(function* () {
      const first = yield* statuses({ seed: 7 }, 500)
      assert.deepStrictEqual(yield* statuses({ seed: 7 }, 500), first)
      assert.notDeepEqual(yield* statuses({ seed: 8 }, 500), first)
    })
  )

  it.effect("approves as many as it is told to", () =>
    Effect.gen(function* () {
      assert.strictEqual(approved(yield* statuses({ approvalRate: 0 }, 200)), 0)
      assert.strictEqual(approved(yield* statuses({ approvalRate: 1 }, 200)), 200)
      // the same coins each time, so the bounds are of the hash, not of chance: four standard deviations
      assert.closeTo(approved(yield* statuses({}, 10_000)), 9_000, 120)
      assert.closeTo(approved(yield* statuses({ approvalRate: 0.5 }, 10_000)), 5_000, 200)
    })
  )

  it.effect("says why it rejects", () =>
    Effect.gen(function* () {
      const { judge } = yield* InvoiceValidator
      const verdict = yield* judge(numbered(1))
      assert.strictEqual(verdict.by, "simulated@1")
      assert.deepStrictEqual(
        verdict.violations.map(({ code, severity }) => [code, severity]),
        [["INV-SIMULATED", "error"]]
      )
    }).pipe(Effect.provide(SimulatedValidator.layer({ approvalRate: 0 })))
  )

  it.effect("waits no longer than it is told, and not equally long for all", () =>
    Effect.gen(function* () {
      const { judge } = yield* InvoiceValidator
      const waiting = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => numbered(index)),
        (invoice) => Effect.forkChild(judge(invoice))
      )
      const done = () => waiting.filter((fiber) => fiber.pollUnsafe() !== undefined).length
      yield* TestClock.adjust("2500 millis")
      assert.isAbove(done(), 0)
      assert.isBelow(done(), 100)
      yield* TestClock.adjust("2500 millis")
      assert.strictEqual(done(), 100)
      yield* Effect.forEach(waiting, Fiber.join)
    }).pipe(Effect.provide(SimulatedValidator.layer({ maxDelayMillis: 5_000 })))
  )
})
