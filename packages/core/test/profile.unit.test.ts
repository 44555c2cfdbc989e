import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import type * as Invoice from "../src/domain/Invoice.ts"
import * as Profile from "../src/domain/Profile.ts"

describe("the profile core", () => {
  const lines = (override: Readonly<Record<string, unknown>>) => ({
    items: [{ description: "x", quantity: "2", unit_price: "5", total: "10", ...override }]
  })
  const valid = Generators.invoice({ amount: "10", ...lines({}) })

  it("finds nothing in a valid invoice", () => {
    assert.deepStrictEqual(Profile.judge(Profile.core, valid).violations, [])
  })

  const bent: ReadonlyArray<readonly [code: string, overrides: Readonly<Record<string, unknown>>]> = [
    ["BR-16", { amount: "0", items: [] }],
    ["BR-25", { amount: "10", ...lines({ description: " " }) }],
    ["BR-27", { amount: "10", ...lines({ quantity: "-2", unit_price: "-5" }) }],
    ["INV-LINE-QTY", { amount: "0", ...lines({ quantity: "0", total: "0" }) }],
    ["INV-LINE-TOTAL", { amount: "10.03", ...lines({ total: "10.03" }) }],
    ["BR-CO-10", { amount: "10.01", ...lines({}) }],
    ["INV-AMOUNT", { amount: "-10", ...lines({ quantity: "-2", total: "-10" }) }],
    ["INV-DUE", { amount: "10", ...lines({}), due_date: "2025-05-31T00:00:00Z" }],
    ["INV-CUR-HISTORIC", { amount: "10", ...lines({}), currency: "DEM" }]
  ]

  it("has a test for every rule", () => {
    assert.deepStrictEqual(bent.map(([code]) => code).sort(), Profile.core.rules.map(({ code }) => code).sort())
  })

  for (const [code, overrides] of bent) {
    it(`finds exactly ${code} in an invoice bent for it`, () => {
      const verdict = Profile.judge(Profile.core, Generators.invoice(overrides))
      assert.deepStrictEqual(
        verdict.violations.map((violation) => violation.code),
        [code]
      )
      assert.strictEqual(verdict.status, code === "INV-DUE" ? "Approved" : "Rejected")
      assert.deepStrictEqual(Profile.runRule(code, Generators.invoice(overrides)).length, 1)
    })
  }

  it("allows a line total two cents off, and no yen", () => {
    const total = (currency: string, amount: string) =>
      Profile.runRule("INV-LINE-TOTAL", Generators.invoice({ currency, amount, ...lines({ total: amount }) })).length
    assert.deepStrictEqual(
      [total("USD", "10.02"), total("USD", "10.03"), total("JPY", "10"), total("JPY", "11")],
      [0, 1, 0, 1]
    )
  })

  it("names the known rules when asked for one that isn't there", () => {
    assert.throws(() => Profile.runRule("NOPE", valid), /BR-16/u)
  })

  it.prop(
    "gives the same verdict, byte for byte, however the lines are ordered but for their paths",
    [Generators.anyInvoice],
    ([invoice]) => {
      const turned = { ...invoice, lines: [...invoice.lines].reverse() }
      const codes = (of: Invoice.Invoice) =>
        Profile.judge(Profile.core, of)
          .violations.map(({ code }) => code)
          .sort()
      assert.deepStrictEqual(codes(turned), codes(invoice))
      assert.strictEqual(
        JSON.stringify(Profile.judge(Profile.core, invoice)),
        JSON.stringify(Profile.judge(Profile.core, invoice))
      )
    }
  )
})
