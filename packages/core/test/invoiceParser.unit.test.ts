import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Result } from "effect"
import * as Invoice from "../src/domain/Invoice.ts"
import * as InvoiceParser from "../src/domain/InvoiceParser.ts"
import * as Json from "../src/domain/Json.ts"
import * as Money from "../src/domain/Money.ts"

describe("Invoice", () => {
  it.prop("an invoice that is encoded and parsed again has the same content", [Generators.anyInvoice], ([invoice]) => {
    const again = Result.getOrThrow(InvoiceParser.parse(Invoice.encode(invoice)))
    assert.strictEqual(Invoice.canonical(again), Invoice.canonical(invoice))
  })

  it("keeps a number that a double can't hold when it comes as JSON text, and refuses it as a JS number", () => {
    const text = JSON.stringify(Generators.document({ amount: "AMOUNT" })).replace('"AMOUNT"', "9007199254740993.01")
    const invoice = Result.getOrThrow(InvoiceParser.parse(Result.getOrThrow(Json.parse(text))))
    assert.strictEqual(Money.format(invoice.amount), "9007199254740993.01")
    assert.isTrue(Result.isFailure(InvoiceParser.parse(Generators.document({ amount: 2 ** 53 }))))
  })

  it("tells a number with too many digits from a text that is none, however long", () => {
    const codes = (amount: string) =>
      Result.match(InvoiceParser.parse(Generators.document({ amount })), {
        onFailure: ({ violations }) => violations.map(({ code }) => code),
        onSuccess: () => []
      })
    assert.deepStrictEqual(codes("9".repeat(18)), ["INV-DIGITS"])
    assert.deepStrictEqual(codes("9".repeat(1_000_000)), ["INV-DIGITS"])
    assert.deepStrictEqual(codes(`0.${"1".repeat(1_000_000)}`), ["INV-DIGITS"])
    assert.deepStrictEqual(codes("x".repeat(1_000_000)), ["INV-DECIMAL"])
    assert.deepStrictEqual(codes("1."), ["INV-DECIMAL"])
    assert.deepStrictEqual(codes("1e9"), ["INV-DECIMAL"])
  })

  it("finds the holes of a sparse array", () => {
    const { items } = Generators.document() as { readonly items: ReadonlyArray<unknown> }
    const sparse: Array<unknown> = [items[0]]
    sparse[2] = items[0]
    const parsed = InvoiceParser.parse(Generators.document({ items: sparse }))
    assert.deepStrictEqual(
      Result.isFailure(parsed) && parsed.failure.violations.map(({ code, path }) => [code, path]),
      [["INV-TYPE", "/items/1"]]
    )
  })
})
