import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Decimal from "../src/domain/Decimal.ts"

type Case = readonly [a: string, b: string, sum: string, product: string, scale: number, a2: string, product2: string]

// written by scripts/generate-decimal-golden.py
const cases: ReadonlyArray<Case> = JSON.parse(readFileSync(new URL("./decimal.golden.json", import.meta.url), "utf8"))

const decimal = (text: string): Decimal.Decimal => Decimal.parse(text) ?? assert.fail(`${text} is no decimal`)

const scaleOf = (text: string): number => (text.includes(".") ? text.length - text.indexOf(".") - 1 : 0)

const same = (actual: Decimal.Decimal, expected: string, of: string): void =>
  assert.strictEqual(Decimal.formatFixed(actual, scaleOf(expected)), expected, of)

describe("Decimal beside Python's decimal", () => {
  it("has the two thousand cases", () => {
    assert.strictEqual(cases.length, 2_000)
  })

  it("adds exactly", () => {
    for (const [a, b, sum] of cases) {
      same(Decimal.add(decimal(a), decimal(b)), sum, `${a} + ${b}`)
    }
  })

  it("multiplies exactly", () => {
    for (const [a, b, , product] of cases) {
      same(Decimal.multiply(decimal(a), decimal(b)), product, `${a} × ${b}`)
    }
  })

  it("rounds half up as ROUND_HALF_UP does", () => {
    for (const [a, b, , , scale, rounded, roundedProduct] of cases) {
      same(Decimal.roundHalfUp(decimal(a), scale), rounded, `${a} to ${scale}`)
      const product = Decimal.multiply(decimal(a), decimal(b))
      same(Decimal.roundHalfUp(product, scale), roundedProduct, `${a} × ${b} to ${scale}`)
    }
  })
})
