/** Reads the fields of an unknown document and gathers every fault of them, each with its JSON pointer (RFC 6901). */
import * as Currency from "./Currency.ts"
import * as Decimal from "./Decimal.ts"
import { parseUuid } from "./Invoice.ts"
import { JsonNumber } from "./Json.ts"
import * as Money from "./Money.ts"
import * as Timestamp from "./Timestamp.ts"
import * as UnknownField from "./UnknownField.ts"
import type { Violation } from "./Violation.ts"

/** An object with fields; neither an array nor a number of a document. */
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)

/** Codes of faults in the shape of a document; every other code is of a fault in a value. */
const syntaxCodes: ReadonlySet<string> = new Set(["INV-MISSING", "INV-TYPE", "INV-FIELD"])

const digitsExpected = `up to ${Decimal.maxIntegerDigits} digits, then up to ${Decimal.maxScale} decimals`

/** Reads one document. Its methods answer undefined for a value at fault, and for a value that is undefined already. */
export class FieldReader {
  readonly violations: Array<Violation> = []
  /** Whether any fault is one in the shape. */
  syntax = false
  private readonly limit: number

  /** @param limit the maximum number of faults kept; a document with more gets the first ones */
  constructor(limit: number) {
    this.limit = limit
  }

  fault(code: `INV-${string}`, path: string, message: string, expected?: string, actual?: unknown): undefined {
    return this.add({
      code,
      severity: "error",
      path,
      message,
      ...(expected === undefined ? {} : { expected }),
      ...(actual === undefined ? {} : { actual: show(actual) })
    })
  }

  private add(violation: Violation): undefined {
    this.syntax ||= syntaxCodes.has(violation.code)
    if (this.violations.length < this.limit) {
      this.violations.push(violation)
    }
  }

  unknown(record: Fields, known: ReadonlySet<string>, path: string): void {
    for (const violation of UnknownField.find(record, known, path)) this.add(violation)
  }

  /** The field's value, undefined (and a fault) when it isn't there. */
  required(record: Fields, field: string, path: string): unknown {
    const value = record[field]
    return value === undefined || value === null ? this.fault("INV-MISSING", path, `${field} is missing`) : value
  }

  text(value: unknown, path: string): string | undefined {
    if (value === undefined) {
      return undefined
    }
    if (typeof value !== "string") {
      return this.fault("INV-TYPE", path, "must be a string", "string", value)
    }
    // Postgres can't hold a NUL, and a lone surrogate has no UTF-8
    return value.includes("\0") || !value.isWellFormed()
      ? this.fault("INV-TEXT", path, "holds a NUL character or half a surrogate pair")
      : value
  }

  uuid(value: unknown, path: string): string | undefined {
    const text = this.text(value, path)
    return text === undefined
      ? undefined
      : (parseUuid(text) ?? this.fault("INV-UUID", path, "is not a UUID", "8-4-4-4-12 hexadecimal digits", text))
  }

  decimal(value: unknown, path: string): Decimal.Decimal | undefined {
    if (value === undefined) {
      return undefined
    }
    const text = value instanceof JsonNumber ? value.text : typeof value === "number" ? String(value) : value
    if (typeof text !== "string") {
      return this.fault("INV-TYPE", path, "must be a decimal string or a number", "decimal", value)
    }
    // an integer that a double may have altered before it came here is refused, because its digits are not known
    if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      return this.fault("INV-DECIMAL", path, "is too large for a number: send it as a string", "decimal", value)
    }
    const decimal = Decimal.parse(text)
    if (decimal !== undefined) {
      return decimal
    }
    // only the beginning of a very long text is checked, so that the cost is bounded
    return /^-?\d+(\.\d*)?$/u.test(text.length > 4_096 ? text.slice(0, 4_096) : text) && !text.endsWith(".")
      ? this.fault("INV-DIGITS", path, "has too many digits or leading zeros", digitsExpected, text)
      : this.fault("INV-DECIMAL", path, "is not a decimal (no exponent, no plus sign, no NaN)", digitsExpected, text)
  }

  money(
    currency: Currency.CurrencyCode | undefined,
    decimal: Decimal.Decimal | undefined,
    path: string
  ): Money.Money | undefined {
    if (currency === undefined || decimal === undefined) {
      return undefined
    }
    return (
      Money.fromDecimal(currency, decimal) ??
      this.fault(
        "INV-SCALE",
        path,
        `has more decimals than ${currency}`,
        `at most ${Currency.minorUnits(currency)} decimals`,
        Decimal.format(decimal)
      )
    )
  }

  timestamp(value: unknown, path: string): Timestamp.Timestamp | undefined {
    const text = value === null ? undefined : this.text(value, path)
    return text === undefined
      ? undefined
      : (Timestamp.parse(text) ??
          this.fault("INV-DATE", path, "is not a time that exists", "RFC 3339, such as 2025-06-30T00:00:00Z", text))
  }

  currency(value: unknown, path: string): Currency.CurrencyCode | undefined {
    const text = this.text(value, path)
    return text === undefined
      ? undefined
      : (Currency.get(text)?.code ??
          this.fault("INV-CURRENCY", path, "is not a currency", "ISO 4217 alphabetic code, such as USD", text))
  }
}

const show = (value: unknown): string => {
  const text =
    typeof value === "string"
      ? value
      : value instanceof JsonNumber
        ? value.text
        : Array.isArray(value)
          ? "array"
          : typeof value === "object" || typeof value === "function"
            ? typeof value
            : String(value)
  return (text.length > 64 ? `${text.slice(0, 63)}…` : text).toWellFormed()
}
