import { assert, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Result } from "effect"
import * as Currency from "../src/domain/Currency.ts"
import * as Decimal from "../src/domain/Decimal.ts"
import * as Invoice from "../src/domain/Invoice.ts"
import * as InvoiceStatus from "../src/domain/InvoiceStatus.ts"
import * as Json from "../src/domain/Json.ts"
import * as Money from "../src/domain/Money.ts"
import * as Profile from "../src/domain/Profile.ts"
import * as Timestamp from "../src/domain/Timestamp.ts"

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

describe("Timestamp", () => {
  it("turns any offset into UTC and keeps nanoseconds", () => {
    for (const [from, to] of [
      ["2025-06-30T00:00:00Z", "2025-06-30T00:00:00Z"],
      ["2025-06-30T00:00:00.000Z", "2025-06-30T00:00:00Z"],
      ["2025-06-30T01:30:00.123456789+02:00", "2025-06-29T23:30:00.123456789Z"],
      ["2024-02-29T23:59:59-01:00", "2024-03-01T00:59:59Z"],
      ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
    ] as const) {
      assert.strictEqual<string | undefined>(Timestamp.parse(from), to)
    }
  })

  it("refuses times that don't exist", () => {
    for (const text of [
      "2025-02-30T00:00:00Z",
      "2025-02-29T00:00:00Z",
      "2025-13-01T00:00:00Z",
      "2025-01-01T24:00:00Z",
      "2025-01-01T23:59:60Z",
      "2025-01-01",
      "2025-01-01T00:00:00",
      "0000-01-01T00:00:00Z",
      "2025-01-01T00:00:00+24:00",
      ""
    ]) {
      assert.isUndefined(Timestamp.parse(text), text)
    }
  })

  it("sorts as text the way time goes, and comes back", () => {
    const times = [
      "0001-01-01T00:00:00Z",
      "2025-01-01T00:00:00Z",
      "2025-01-01T00:00:00.000000001Z",
      "2025-01-01T00:00:00.5Z",
      "2025-01-01T00:00:01Z"
    ].map((text) => Timestamp.parse(text) ?? assert.fail(text))
    assert.deepStrictEqual([...times].reverse().sort(Timestamp.compare), times)
    assert.deepStrictEqual(times.map(Timestamp.toSortable).map(Timestamp.fromSortable), times)
  })
})

describe("Invoice", () => {
  it.prop("an invoice that is encoded and parsed again has the same content", [Generators.anyInvoice], ([invoice]) => {
    const again = Result.getOrThrow(Invoice.parse(Invoice.encode(invoice)))
    assert.strictEqual(Invoice.canonical(again), Invoice.canonical(invoice))
  })

  it("keeps a number that a double can't hold when it comes as JSON text, and refuses it as a JS number", () => {
    const text = JSON.stringify(Generators.document({ amount: "AMOUNT" })).replace('"AMOUNT"', "9007199254740993.01")
    const invoice = Result.getOrThrow(Invoice.parse(Result.getOrThrow(Json.parse(text))))
    assert.strictEqual(Money.format(invoice.amount), "9007199254740993.01")
    assert.isTrue(Result.isFailure(Invoice.parse(Generators.document({ amount: 2 ** 53 }))))
  })

  it("tells a number with too many digits from a text that is none, however long", () => {
    const codes = (amount: string) =>
      Result.match(Invoice.parse(Generators.document({ amount })), {
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
    const parsed = Invoice.parse(Generators.document({ items: sparse }))
    assert.deepStrictEqual(
      Result.isFailure(parsed) && parsed.failure.violations.map(({ code, path }) => [code, path]),
      [["INV-TYPE", "/items/1"]]
    )
  })
})

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

describe("the lifecycle", () => {
  it("leads from Pending to a verdict and no further", () => {
    for (const from of InvoiceStatus.all) {
      for (const to of InvoiceStatus.all) {
        assert.strictEqual(InvoiceStatus.canBecome(from, to), from === "Pending" && to !== "Pending")
      }
    }
  })
})
