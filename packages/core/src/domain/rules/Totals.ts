/** Rules on an invoice as a whole. */
import * as Currency from "../Currency.ts"
import * as Money from "../Money.ts"
import type { Rule } from "../Rule.ts"
import * as Timestamp from "../Timestamp.ts"

export const amountIsSumOfLines: Rule = {
  code: "BR-CO-10",
  severity: "error",
  title: "The amount is the sum of the line totals",
  source: "EN 16931-1:2017",
  check: ({ amount, lines }) => {
    const expected = Money.sum(
      amount.currency,
      lines.map((line) => line.total)
    )
    return Money.equals(amount, expected)
      ? []
      : [
          {
            path: "/amount",
            message: "the amount is not the sum of the line totals",
            expected: Money.formatFixed(expected),
            actual: Money.formatFixed(amount)
          }
        ]
  }
}

export const amountNotNegative: Rule = {
  code: "INV-AMOUNT",
  severity: "error",
  title: "An invoice's amount is not negative",
  check: ({ amount }) =>
    Money.isNegative(amount)
      ? [
          {
            path: "/amount",
            message: "the amount is negative",
            expected: "0 or more",
            actual: Money.formatFixed(amount)
          }
        ]
      : []
}

/** The issue date is the client's `created_at`. */
export const dueAfterIssue: Rule = {
  code: "INV-DUE",
  severity: "warning",
  title: "An invoice is due on or after the day it was issued",
  check: ({ createdAt, dueDate }) =>
    // days, not instants: an invoice that is issued in the afternoon may be due on the same day
    createdAt !== undefined && dueDate !== undefined && day(dueDate) < day(createdAt)
      ? [
          {
            path: "/due_date",
            message: "the due date is before the issue date",
            expected: `${day(createdAt)} or later`,
            actual: day(dueDate)
          }
        ]
      : []
}

const day = (timestamp: Timestamp.Timestamp): string => Timestamp.toSortable(timestamp).slice(0, 10)

export const currencyIsCurrent: Rule = {
  code: "INV-CUR-HISTORIC",
  severity: "error",
  title: "The currency is still in use",
  source: `ISO 4217, published ${Currency.publishedOn}`,
  check: ({ amount }) => {
    const currency = Currency.get(amount.currency)
    return currency?.withdrawn === undefined
      ? []
      : [
          {
            path: "/currency",
            message: `${currency.code} (${currency.name}) was withdrawn in ${currency.withdrawn}`,
            expected: "a currency in use",
            actual: currency.code
          }
        ]
  }
}
