import { assert, describe, it } from "@effect/vitest"
import * as Currency from "../src/domain/Currency.ts"
import * as Decimal from "../src/domain/Decimal.ts"
import * as Money from "../src/domain/Money.ts"

const decimal = (text: string): Decimal.Decimal => {
  const parsed = Decimal.parse(text)
  assert.isDefined(parsed)
  return parsed
}

describe("Currency and Money", () => {
  it("has the minor units of ISO 4217, and not those of Intl", () => {
    for (const [code, units] of Object.entries({
      JPY: 0,
      USD: 2,
      KWD: 3,
      CLF: 4,
      HUF: 2,
      IQD: 3,
      MGA: 2,
      XCG: 2,
      ZWG: 2
    })) {
      assert.strictEqual(Currency.get(code)?.minorUnits, units, code)
    }
  })

  it("has every code once, knows the historic ones, and nothing else", () => {
    assert.strictEqual(new Set(Currency.all.map(({ code }) => code)).size, Currency.all.length)
    for (const { code, numeric } of Currency.all) {
      assert.match(code, /^[A-Z]{3}$/u)
      assert.match(numeric, /^\d{3}$/u)
    }
    assert.strictEqual(Currency.get("DEM")?.withdrawn, "2002-03")
    assert.isUndefined(Currency.get("usd"))
    assert.isUndefined(Currency.get("toString"))
  })

  it("holds exactly the currency's decimals", () => {
    const usd = Currency.get("USD")?.code
    assert.isDefined(usd)
    assert.isUndefined(Money.fromDecimal(usd, decimal("10.555")))
    assert.strictEqual(Money.fromDecimal(usd, decimal("10.550"))?.minor, 1055n)
    assert.strictEqual(Money.formatFixed(Money.make(usd, -5n)), "-0.05")
    const eur = Currency.get("EUR")?.code
    assert.isDefined(eur)
    assert.throws(() => Money.add(Money.make(usd, 1n), Money.make(eur, 1n)), RangeError)
  })
})
