/** Rules on the lines of an invoice. */
import * as Currency from "../Currency.ts"
import * as Decimal from "../Decimal.ts"
import { type InvoiceLine, lineTotal } from "../Invoice.ts"
import * as Money from "../Money.ts"
import type { Finding, Rule } from "../Rule.ts"

const source = "EN 16931-1:2017"

const eachLine =
  (check: (line: InvoiceLine, path: string) => Finding | undefined): Rule["check"] =>
  (invoice) =>
    invoice.lines.flatMap((line, index) => check(line, `/items/${index}`) ?? [])

export const atLeastOneLine: Rule = {
  code: "BR-16",
  severity: "error",
  title: "An invoice has at least one line",
  source,
  check: (invoice) =>
    invoice.lines.length > 0 ? [] : [{ path: "/items", message: "the invoice has no line", expected: "1", actual: "0" }]
}

/** BR-25 asks for the item's name; in this contract the description is the item's name. */
export const lineHasDescription: Rule = {
  code: "BR-25",
  severity: "error",
  title: "A line says what it is for",
  source,
  check: eachLine((line, path) =>
    line.description.trim() === "" ? { path: `${path}/description`, message: "the line has no description" } : undefined
  )
}

export const unitPriceNotNegative: Rule = {
  code: "BR-27",
  severity: "error",
  title: "A unit price is not negative",
  source,
  check: eachLine((line, path) =>
    Decimal.isNegative(line.unitPrice)
      ? {
          path: `${path}/unit_price`,
          message: "the unit price is negative",
          expected: "0 or more",
          actual: Decimal.format(line.unitPrice)
        }
      : undefined
  )
}

export const quantityNotZero: Rule = {
  code: "INV-LINE-QTY",
  severity: "error",
  title: "A quantity is not zero",
  check: eachLine((line, path) =>
    Decimal.isZero(line.quantity)
      ? { path: `${path}/quantity`, message: "the quantity is zero", expected: "not 0", actual: "0" }
      : undefined
  )
}

/** Peppol BIS Billing's PEPPOL-EN16931-R120 allows 0.02; a currency whose unit is larger than that allows nothing. */
const tolerance = (currency: Currency.CurrencyCode): bigint => {
  const scale = Currency.minorUnits(currency)
  return scale < 2 ? 0n : 2n * 10n ** BigInt(scale - 2)
}

export const lineTotalMatches: Rule = {
  code: "INV-LINE-TOTAL",
  severity: "error",
  title: "A line's total is its quantity times its unit price, within 0.02",
  source: "PEPPOL-EN16931-R120",
  check: eachLine((line, path) => {
    const expected = lineTotal(line)
    const difference = Money.abs(Money.subtract(line.total, expected))
    return difference.minor <= tolerance(line.total.currency)
      ? undefined
      : {
          path: `${path}/total`,
          message: "the line's total is not its quantity times its unit price",
          expected: Money.formatFixed(expected),
          actual: Money.formatFixed(line.total)
        }
  })
}
