import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import * as Decimal from "../src/domain/Decimal.ts"

const decimal = (text: string): Decimal.Decimal => {
  const parsed = Decimal.parse(text)
  assert.isDefined(parsed)
  return parsed
}

const canonical = (text: string): string => {
  const [, sign = "", whole = "", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/u.exec(text) ?? []
  const digits = fraction.replace(/0+$/u, "")
  const magnitude = digits === "" ? whole : `${whole}.${digits}`
  return /^[0.]*$/u.test(magnitude) ? "0" : sign + magnitude
}

describe("Decimal", () => {
  it.prop("format undoes parse for every decimal in range", [Generators.decimalText(9)], ([text]) => {
    assert.strictEqual(Decimal.format(decimal(text)), canonical(text))
  })

  it.prop(
    "a product times ten to the scales is the product of the integers",
    [Generators.decimalText(9), Generators.decimalText(9)],
    ([a, b]) => {
      const integer = (text: string): bigint => {
        const [whole = "", fraction = ""] = text.split(".")
        return BigInt(whole + fraction.padEnd(9, "0"))
      }
      const product = Decimal.multiply(decimal(a), decimal(b))
      assert.strictEqual(
        Decimal.formatFixed(product, 18)
          .replace(".", "")
          .replace(/^(-?)0+(?=\d)/u, "$1"),
        `${integer(a) * integer(b)}`
      )
    }
  )

  it("refuses what is no decimal, at once however long it is", () => {
    for (const text of [
      "",
      "1e9",
      "1e9999999",
      "NaN",
      "Infinity",
      "+1",
      "01",
      "-",
      ".5",
      "5.",
      "１",
      " 1",
      "1 ",
      "0x1",
      "1_0",
      "1,0",
      "--1",
      "9".repeat(18),
      "0.1234567890",
      "9".repeat(1_000_000)
    ]) {
      assert.isUndefined(Decimal.parse(text), text.slice(0, 20))
    }
  })

  it("rounds half up, away from zero, at every boundary", () => {
    for (const [from, to] of [
      ["0.004", "0.00"],
      ["0.005", "0.01"],
      ["0.006", "0.01"],
      ["0.004999999", "0.00"],
      ["0.005000001", "0.01"],
      ["-0.004", "0.00"],
      ["-0.005", "-0.01"],
      ["-0.006", "-0.01"],
      ["1.995", "2.00"],
      ["99999999999999999.995", "100000000000000000.00"]
    ] as const) {
      assert.strictEqual(Decimal.formatFixed(Decimal.roundHalfUp(decimal(from), 2), 2), to, from)
    }
  })
})
