/** What `invoice validate` prints: a table for people, or a JSON object a line for programs. */
import type { Validation, Violation } from "@invoice/core"

/** A document that was judged. */
export interface Judged extends Validation {
  /** As it was named on the command line. */
  readonly file: string
  /** Its line, from 1, when the file has several documents. */
  readonly line: number | undefined
}

export interface Counts {
  readonly Approved: number
  readonly Rejected: number
  readonly Invalid: number
}

export interface Report {
  readonly begin: string
  readonly document: (judged: Judged) => string
  readonly end: (counts: Counts) => string
}

/** One object a line, and nothing else. */
export const json: Report = {
  begin: "",
  document: ({ file, invoice, line, status, violations }) =>
    `${JSON.stringify({ file, line, status, id: invoice?.id, violations })}\n`,
  end: () => ""
}

const styles = {
  Approved: "\u001b[32m",
  Rejected: "\u001b[31m",
  Invalid: "\u001b[35m",
  head: "\u001b[1m",
  rule: "\u001b[1m",
  where: "\u001b[36m"
} as const

const reset = "\u001b[0m"

const columns = { status: 8, rule: 16, where: 22 } as const

/** Escapes control characters and invisible ones, since the names and values are of unknown origin. */
const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)

const reason = ({ actual, expected, message, severity }: Violation.Violation): string => {
  const values = [
    ...(expected === undefined ? [] : [`expected ${expected}`]),
    ...(actual === undefined ? [] : [`was ${actual}`])
  ]
  return `${severity === "warning" ? "(warning) " : ""}${message}${values.length === 0 ? "" : ` (${values.join(", ")})`}`
}

/**
 * A line for each document and each further reason. The longest name in `files`, which are all files, sets the column.
 */
export const table = (files: ReadonlyArray<string>, options: { readonly colors: boolean }): Report => {
  const width = Math.max("DOCUMENT".length, ...files.map((file) => printable(file).length + ":1".length))
  const cell = (text: string, size: number, style?: keyof typeof styles): string => {
    const padding = " ".repeat(Math.max(size - text.length, 0) + 2)
    return style === undefined || !options.colors ? text + padding : `${styles[style]}${text}${reset}${padding}`
  }
  const row = (cells: ReadonlyArray<string>, last: string): string => `${(cells.join("") + last).trimEnd()}\n`
  const reasons = (violation: Violation.Violation): string =>
    cell(printable(violation.code), columns.rule, "rule") +
    cell(printable(violation.path), columns.where, "where") +
    printable(reason(violation))

  return {
    begin: row(
      [
        cell("STATUS", columns.status, "head"),
        cell("DOCUMENT", width, "head"),
        cell("RULE", columns.rule, "head"),
        cell("WHERE", columns.where, "head")
      ],
      cell("REASON", 0, "head")
    ),
    document: ({ file, line, status, violations: [first, ...others] }) =>
      row(
        [
          cell(status.toLowerCase(), columns.status, status),
          cell(printable(file) + (line === undefined ? "" : `:${line}`), width)
        ],
        first === undefined ? "" : reasons(first)
      ) + others.map((violation) => row([cell("", columns.status), cell("", width)], reasons(violation))).join(""),
    end: ({ Approved, Invalid, Rejected }) => {
      const count = Approved + Rejected + Invalid
      return count < 2 ? "" : `\n${count} documents: ${Approved} approved, ${Rejected} rejected, ${Invalid} invalid\n`
    }
  }
}
