/** Stores that keep something else than they are given. */
import { Decimal, type Invoice, Money, Timestamp } from "@invoice/core"
import { Effect } from "effect"
import type { Ports } from "./Broken.ts"
import { law, mutant, type Store, shows } from "./BrokenStore.ts"
import type { Mutant } from "./Suite.ts"

/** Keeps something else than it is given, in every way of reading it. */
const keeps = (change: (invoice: Invoice.Invoice) => Invoice.Invoice) => (store: Store) => ({
  create: (invoice: Invoice.Invoice) => store.create(change(invoice))
})

const notes = (change: (notes: string) => string) => keeps((invoice) => ({ ...invoice, notes: change(invoice.notes) }))

const amount = (change: (text: string) => string) =>
  keeps((invoice) => {
    const { amount } = invoice
    const changed = Decimal.parse(change(Money.format(amount)))
    return { ...invoice, amount: (changed && Money.fromDecimal(amount.currency, changed)) ?? amount }
  })

const dueDate = (change: (due: Timestamp.Timestamp) => Timestamp.Timestamp) =>
  keeps((invoice) => ({ ...invoice, dueDate: invoice.dueDate && change(invoice.dueDate) }))

const lines = (change: (lines: Invoice.Invoice["lines"]) => Invoice.Invoice["lines"]) =>
  keeps((invoice) => ({ ...invoice, lines: change(invoice.lines) }))

export const contents: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "keeps amounts as doubles",
    amount((text) => Number(text).toFixed(4).replace(/0+$/u, "").replace(/\.$/u, "")),
    law.content,
    law.least
  ),
  mutant(
    "cuts the last digits of long amounts",
    amount((text) => text.slice(0, 15).replace(/\.$/u, "")),
    law.content,
    law.least
  ),
  mutant(
    "keeps prices as doubles",
    lines((lines) =>
      lines.map((line) => ({
        ...line,
        unitPrice: Decimal.parse(Number(Decimal.format(line.unitPrice)).toFixed(2)) ?? line.unitPrice
      }))
    ),
    law.content,
    law.least
  ),
  mutant(
    "loses the sign of quantities",
    lines((lines) => lines.map((line) => ({ ...line, quantity: Decimal.abs(line.quantity) }))),
    law.content
  ),
  mutant(
    "keeps every amount with two decimals",
    amount((text) => text.replace(/(\.\d\d)\d+$/u, "$1")),
    law.content
  ),
  mutant(
    "cuts notes at 28 characters",
    notes((notes) => notes.slice(0, 28).toWellFormed()),
    law.content,
    law.least
  ),
  mutant(
    "cuts notes at 1,000 characters",
    notes((notes) => notes.slice(0, 1_000).toWellFormed()),
    law.content,
    law.least
  ),
  mutant(
    "cuts notes at 4,095 bytes",
    notes((notes) => new TextDecoder().decode(new TextEncoder().encode(notes).slice(0, 4_095))),
    law.content
  ),
  mutant(
    "normalizes texts",
    notes((notes) => notes.normalize("NFC")),
    law.content,
    law.least
  ),
  mutant(
    "keeps no characters beyond the basic plane",
    notes((notes) => notes.replaceAll(/[\u{10000}-\u{10ffff}]/gu, "?")),
    law.content
  ),
  mutant(
    "drops control characters",
    notes((notes) => notes.replaceAll(/[\p{Cc}]/gu, "")),
    law.content
  ),
  mutant(
    "trims texts",
    notes((notes) => notes.trimEnd()),
    law.content,
    law.least
  ),
  mutant(
    "takes an escaped NUL for one",
    notes((notes) => notes.replaceAll("\\u0000", "")),
    law.content
  ),
  mutant(
    "cuts descriptions at 255 characters",
    lines((lines) => lines.map((line) => ({ ...line, description: line.description.slice(0, 255).toWellFormed() }))),
    law.content
  ),
  mutant(
    "keeps 999 lines",
    lines((lines) => lines.slice(0, 999)),
    law.content
  ),
  mutant(
    "loses the order of lines beyond a hundred",
    lines((lines) => [...lines.slice(0, 100), ...lines.slice(100).toReversed()]),
    law.content,
    law.lines,
    law.least
  ),
  mutant(
    "loses the nanoseconds of due dates",
    dueDate((due) => Timestamp.parse(due.replace(/\.\d+/u, "")) ?? due),
    law.content,
    law.least
  ),
  mutant(
    "keeps due dates in microseconds",
    dueDate((due) => Timestamp.parse(due.replace(/(\.\d{6})\d+/u, "$1")) ?? due),
    law.content,
    law.least
  ),
  mutant(
    "shows in a list other notes than it keeps",
    (store) => ({
      list: (query) =>
        Effect.map(store.list(query), (page) => ({
          ...page,
          items: page.items.map((one) => ({
            ...one,
            invoice: { ...one.invoice, notes: one.invoice.notes.slice(0, 100).toWellFormed() }
          }))
        }))
    }),
    law.content
  ),
  mutant(
    "shows lines backwards",
    shows((stored) => ({ ...stored, invoice: { ...stored.invoice, lines: stored.invoice.lines.toReversed() } })),
    law.lines
  ),
  mutant(
    "loses a cent",
    amount((text) => (text === "1050.01" ? "1050.00" : text)),
    law.judged
  )
]
