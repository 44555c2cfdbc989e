/** An amount in a currency, exact: a count of the currency's minor units (ISO 4217), such as cents. */
import { BigDecimal } from "effect"
import * as Currency from "./Currency.ts"
import * as Decimal from "./Decimal.ts"

export interface Money {
  readonly currency: Currency.CurrencyCode
  /** In minor units: 105000n USD is 1050.00. */
  readonly minor: bigint
}

export const make = (currency: Currency.CurrencyCode, minor: bigint): Money => ({ currency, minor })

/** Undefined when the decimal has more (significant) decimals than the currency. */
export const fromDecimal = (currency: Currency.CurrencyCode, decimal: Decimal.Decimal): Money | undefined => {
  const money = rounded(currency, decimal)
  return Decimal.equals(toDecimal(money), decimal) ? money : undefined
}

/** Rounded half up to the currency's minor units. */
export const rounded = (currency: Currency.CurrencyCode, decimal: Decimal.Decimal): Money => {
  const scale = Currency.minorUnits(currency)
  const { scale: has, value } = Decimal.roundHalfUp(decimal, scale)
  return { currency, minor: value * 10n ** BigInt(scale - has) }
}

export const toDecimal = (money: Money): Decimal.Decimal =>
  BigDecimal.make(money.minor, Currency.minorUnits(money.currency))

/** Canonical, without trailing zeros: `1050`. */
export const format = (money: Money): string => Decimal.format(toDecimal(money))

/** With all of the currency's decimals: `1050.00`. */
export const formatFixed = (money: Money): string =>
  Decimal.formatFixed(toDecimal(money), Currency.minorUnits(money.currency))

/** Throws a `RangeError` when the currencies differ, which is a bug of the caller, never a fault of the input. */
export const add = (self: Money, that: Money): Money => ({ ...self, minor: self.minor + sameCurrency(self, that) })

/** Throws a `RangeError` when the currencies differ. */
export const subtract = (self: Money, that: Money): Money => ({ ...self, minor: self.minor - sameCurrency(self, that) })

/** Zero of the currency for an empty list; throws a `RangeError` when a currency differs. */
export const sum = (currency: Currency.CurrencyCode, moneys: Iterable<Money>): Money => {
  let total = make(currency, 0n)
  for (const money of moneys) {
    total = add(total, money)
  }
  return total
}

export const abs = (money: Money): Money => (money.minor < 0n ? { ...money, minor: -money.minor } : money)

export const isNegative = (money: Money): boolean => money.minor < 0n

export const equals = (self: Money, that: Money): boolean =>
  self.currency === that.currency && self.minor === that.minor

/** Throws a `RangeError` when the currencies differ. */
export const compare = (self: Money, that: Money): -1 | 0 | 1 => {
  const other = sameCurrency(self, that)
  return self.minor < other ? -1 : self.minor > other ? 1 : 0
}

const sameCurrency = (self: Money, that: Money): bigint => {
  if (self.currency !== that.currency) {
    throw new RangeError(`${self.currency} and ${that.currency} don't mix`)
  }
  return that.minor
}
