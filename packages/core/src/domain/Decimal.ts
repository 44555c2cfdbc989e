/**
 * Exact decimals: effect's `BigDecimal` behind a guard, a fixed-scale formatter and the project's one rounding.
 *
 * Never `BigDecimal.fromString` on input directly: `""` is 0 there and `1e9999999` costs a second of CPU.
 */
import { BigDecimal } from "effect"

export type Decimal = BigDecimal.BigDecimal

/** Most digits before the point. */
export const maxIntegerDigits = 17
/** Most digits after the point. */
export const maxScale = 9

/** How a decimal is written: no exponent, plus sign or leading zeros, up to 17 digits before the point and 9 after. */
export const pattern = /^-?(0|[1-9]\d{0,16})(\.\d{1,9})?$/u

// sign + integer digits + point + decimals
const maxLength = 1 + maxIntegerDigits + 1 + maxScale

/** The exact decimal of a text, undefined when the text doesn't match `pattern`. Costs the same for any length. */
export const parse = (text: string): Decimal | undefined => {
  if (text.length > maxLength || !pattern.test(text)) {
    return undefined
  }
  const point = text.indexOf(".")
  return point === -1
    ? BigDecimal.make(BigInt(text), 0)
    : BigDecimal.make(BigInt(text.slice(0, point) + text.slice(point + 1)), text.length - point - 1)
}

/** With exactly `scale` decimals; the value must not have more (round first). */
export const formatFixed = (decimal: Decimal, scale: number): string => {
  const value = rescale(decimal, scale)
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, "0")
  const sign = value < 0n ? "-" : ""
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** Canonical: no trailing zeros, no exponent, no negative zero. */
export const format = (decimal: Decimal): string => {
  const fixed = formatFixed(decimal, Math.max(decimal.scale, 0))
  return decimal.scale > 0 ? fixed.replace(/\.?0+$/u, "") : fixed
}

const rescale = ({ scale, value }: Decimal, to: number): bigint => {
  if (scale <= to) {
    return value * 10n ** BigInt(to - scale)
  }
  const divisor = 10n ** BigInt(scale - to)
  if (value % divisor !== 0n) {
    throw new RangeError(`a decimal with scale ${scale} doesn't fit ${to} decimals: round it first`)
  }
  return value / divisor
}

/** Half up, away from zero (2.5 → 3, −2.5 → −3): the project's only rounding, the usual one of commercial invoices. */
export const roundHalfUp = (decimal: Decimal, scale: number): Decimal => {
  if (decimal.scale <= scale) {
    return decimal
  }
  const divisor = 10n ** BigInt(decimal.scale - scale)
  const quotient = decimal.value / divisor
  const remainder = decimal.value % divisor
  const magnitude = remainder < 0n ? -remainder : remainder
  const away = magnitude * 2n >= divisor ? (decimal.value < 0n ? -1n : 1n) : 0n
  return BigDecimal.make(quotient + away, scale)
}

export const zero: Decimal = BigDecimal.make(0n, 0)
export const multiply: (self: Decimal, that: Decimal) => Decimal = BigDecimal.multiply
export const add: (self: Decimal, that: Decimal) => Decimal = BigDecimal.sum
export const subtract: (self: Decimal, that: Decimal) => Decimal = BigDecimal.subtract
export const sum: (decimals: Iterable<Decimal>) => Decimal = BigDecimal.sumAll
export const negate: (self: Decimal) => Decimal = BigDecimal.negate
export const abs: (self: Decimal) => Decimal = BigDecimal.abs
export const equals: (self: Decimal, that: Decimal) => boolean = BigDecimal.Equivalence
export const compare: (self: Decimal, that: Decimal) => -1 | 0 | 1 = BigDecimal.Order
export const isZero = (self: Decimal): boolean => self.value === 0n
export const isNegative = (self: Decimal): boolean => self.value < 0n
