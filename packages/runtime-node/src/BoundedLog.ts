/**
 * Log lines of a bounded length: texts and lists in them are cut. Clients choose much of what is logged, such as ids,
 * cursors and the rules that an invoice breaks, and a line of a megabyte costs whoever collects them.
 */
import { Formatter, Logger } from "effect"

/** Most characters of a text; a stack trace of 20 calls fits. */
const maxLength = 4_096
/** Most elements of a list, and members of an object. */
const maxItems = 32
/** How deep lists and objects may be in one another. */
const maxDepth = 6

const cutText = (text: string): string =>
  text.length > maxLength ? `${text.slice(0, maxLength)}… (${text.length} characters)` : text

const cut = (value: unknown, depth = 0): unknown => {
  if (typeof value === "string") return cutText(value)
  if (typeof value !== "object" || value === null) return value
  if (depth === maxDepth) return "…"
  if (Array.isArray(value)) {
    const items = value.slice(0, maxItems).map((item) => cut(item, depth + 1))
    return value.length > maxItems ? [...items, `… (${value.length} in all)`] : items
  }
  const members = Object.entries(value)
  return Object.fromEntries(members.slice(0, maxItems).map(([name, member]) => [name, cut(member, depth + 1)]))
}

/** One JSON object for each line, as `Logger.formatJson` makes, but cut. */
export const formatJson: Logger.Logger<unknown, string> = Logger.map(Logger.formatStructured, (line) =>
  Formatter.formatJson(cut(line))
)

/** Prints such lines. */
export const consoleJson: Logger.Logger<unknown, void> = Logger.withConsoleLog(formatJson)
