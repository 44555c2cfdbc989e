/**
 * A model of `InvoiceStore`, which is a map that behaves as the port's documentation says, and the law that any
 * sequence of commands is answered as the model answers it. Values that a store makes up itself (times, cursors) are
 * not compared.
 */
import { assert } from "@effect/vitest"
import { Invoice, type InvoiceStatus, type Timestamp, type Verdict } from "@invoice/core"
import { InvoiceStore, type StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Arbitrary, Effect, Option, Schema } from "effect"
import * as Generators from "./Generators.ts"

/** Few invoices, so that several commands meet the same one. */
const slots = 4

const slot = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: slots - 1 }))
const status = Schema.Literals(["Pending", "Approved", "Rejected"])
const short = Schema.isMaxLength(4)

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("create"), slot, other: Schema.Boolean }),
  Schema.Struct({
    _tag: Schema.Literal("decide"),
    decisions: Schema.Array(
      Schema.Struct({
        slot,
        version: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
        approved: Schema.Boolean
      })
    ).check(short)
  }),
  Schema.Struct({ _tag: Schema.Literal("get"), slot }),
  Schema.Struct({ _tag: Schema.Literal("getMany"), slots: Schema.Array(slot).check(short) }),
  Schema.Struct({ _tag: Schema.Literal("history"), slot }),
  Schema.Struct({
    _tag: Schema.Literal("list"),
    status: Schema.NullOr(status),
    currency: Schema.NullOr(Schema.Literals(["USD", "EUR"])),
    // the due date of a slot
    dueAfter: Schema.NullOr(slot),
    dueBefore: Schema.NullOr(slot),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 }))
  })
])
type Command = typeof Command.Type

type List = Extract<Command, { readonly _tag: "list" }>

const commands = Arbitrary.array(Arbitrary.schema(Command), { minLength: 1, maxLength: 60 })

const by = "model@1"
const verdict = (approved: boolean): Verdict.Verdict =>
  approved
    ? { status: "Approved", violations: [], by }
    : { status: "Rejected", violations: [{ code: "M-1", severity: "error", path: "/amount", message: "no" }], by }

const currencyOf = (slot: number): string => (slot % 2 === 0 ? "USD" : "EUR")

const lastDue = "2025-06-30T00:00:00.000000002Z" as Timestamp.Timestamp
/** A nanosecond apart; the last slot has none. */
const dueDateOf = (slot: number): Timestamp.Timestamp | undefined =>
  slot === slots - 1 ? undefined : (`2025-06-30T00:00:00.00000000${slot + 1}Z` as Timestamp.Timestamp)

/** The limit that a command names by a slot. */
const dueLimit = (slot: number | null): Timestamp.Timestamp | undefined =>
  slot === null ? undefined : (dueDateOf(slot) ?? lastDue)

/** The invoices of a run: each slot has an id and two contents. */
interface Sample {
  readonly customerId: string
  readonly invoice: (slot: number, other?: boolean) => Invoice.Invoice
  readonly slotOf: (id: string) => number
}

const makeSample = (): Sample => {
  const customerId = crypto.randomUUID()
  const invoices = Array.from({ length: slots }, (_, slot) =>
    Generators.invoice({ customer_id: customerId, currency: currencyOf(slot), due_date: dueDateOf(slot) })
  )
  return {
    customerId,
    invoice: (slot, other = false) => {
      const invoice = invoices[slot] ?? Generators.invoice()
      return other ? { ...invoice, notes: "other content" } : invoice
    },
    slotOf: (id) => invoices.findIndex((invoice) => invoice.id === id)
  }
}

/** The answer to a command, without the values that the store makes up. */
type Answer = unknown

interface Kept {
  readonly slot: number
  readonly other: boolean
  readonly changes: ReadonlyArray<{
    readonly status: InvoiceStatus.InvoiceStatus
    readonly codes: ReadonlyArray<string>
  }>
}

const shown = ({ changes, other, slot }: Kept) => ({
  slot,
  other,
  status: changes.at(-1)?.status,
  version: changes.length,
  codes: changes.at(-1)?.codes
})

const isListed = ({ slot, status }: ReturnType<typeof shown>, command: List): boolean => {
  const due = dueDateOf(slot)
  const [after, before] = [dueLimit(command.dueAfter), dueLimit(command.dueBefore)]
  return (
    (command.status === null || status === command.status) &&
    (command.currency === null || currencyOf(slot) === command.currency) &&
    (after === undefined || (due !== undefined && due >= after)) &&
    (before === undefined || (due !== undefined && due < before))
  )
}

/** Gives the expected answers. */
class Model {
  /** By slot, in the order of creation. */
  private readonly kept = new Map<number, Kept>()

  answer(command: Command): Answer {
    switch (command._tag) {
      case "create":
        return this.create(command.slot, command.other)
      case "decide":
        return command.decisions.map(({ approved, slot, version }) => this.decide(slot, version, approved))
      case "get":
        return this.found(command.slot, shown)
      case "getMany":
        return [...new Set(command.slots)]
          .sort()
          .flatMap((slot) => this.kept.get(slot) ?? [])
          .map(shown)
      case "history":
        return this.found(command.slot, ({ changes }) =>
          changes.map(({ codes, status }, index) => ({
            version: index + 1,
            from: changes[index - 1]?.status ?? null,
            to: status,
            by: index === 0 ? "api" : by,
            codes
          }))
        )
      case "list":
        return [...this.kept.values()]
          .map(shown)
          .filter((one) => isListed(one, command))
          .reverse()
    }
  }

  /** The expected changes of a slot, in order. */
  changes(slot: number): Answer {
    return (this.kept.get(slot)?.changes ?? []).map(({ codes, status }, index) => ({
      status,
      version: index + 1,
      codes
    }))
  }

  private create(slot: number, other: boolean): Answer {
    const known = this.kept.get(slot)
    if (known !== undefined)
      return known.other === other ? { outcome: "Unchanged", ...shown(known) } : "InvoiceConflict"
    const kept: Kept = { slot, other, changes: [{ status: "Pending", codes: [] }] }
    this.kept.set(slot, kept)
    return { outcome: "Created", ...shown(kept) }
  }

  private decide(slot: number, version: number, approved: boolean): Answer {
    const known = this.kept.get(slot)
    if (known === undefined) return "NotFound"
    if (known.changes.length > 1) return "AlreadyFinal"
    if (version !== 1) return "Stale"
    const { status, violations } = verdict(approved)
    this.kept.set(slot, {
      ...known,
      changes: [...known.changes, { status, codes: violations.map(({ code }) => code) }]
    })
    return "Decided"
  }

  private found(slot: number, show: (kept: Kept) => Answer): Answer {
    const known = this.kept.get(slot)
    return known === undefined ? "InvoiceNotFound" : show(known)
  }
}

/** Where store and model differ, for the report of a failed check. */
interface Difference {
  readonly command: Command | string
  readonly expected: Answer
  readonly actual: Answer
}

const codes = (violations: ReadonlyArray<{ readonly code: string }>) => violations.map(({ code }) => code)

/** Gives the store's answers, in the form of the model's. */
const asked = (store: InvoiceStore["Service"], sample: Sample) => {
  const show = ({ invoice, status, version, violations }: StoredInvoice) => {
    const slot = sample.slotOf(invoice.id)
    const other = Invoice.canonical(invoice) !== Invoice.canonical(sample.invoice(slot))
    return { slot, other, status, version, codes: codes(violations) }
  }
  const list = Effect.fnUntraced(function* ({ currency, dueAfter, dueBefore, limit, status }: List) {
    const items: Array<StoredInvoice> = []
    let cursor: string | undefined
    do {
      const page = yield* store.list({
        customerId: sample.customerId,
        status: status ?? undefined,
        currency: currency ?? undefined,
        dueAfter: dueLimit(dueAfter),
        dueBefore: dueLimit(dueBefore),
        limit,
        cursor
      })
      items.push(...page.items)
      cursor = Option.getOrUndefined(page.next)
    } while (cursor !== undefined)
    return items.map(show)
  })
  return (command: Command): Effect.Effect<Answer> => {
    const answer = (): Effect.Effect<Answer, { readonly _tag: string }> => {
      switch (command._tag) {
        case "create":
          return Effect.map(store.create(sample.invoice(command.slot, command.other)), ({ outcome, stored }) => ({
            outcome,
            ...show(stored)
          }))
        case "decide":
          return Effect.map(
            store.decide(
              command.decisions.map(({ approved, slot, version }) => ({
                id: sample.invoice(slot).id,
                version,
                verdict: verdict(approved)
              }))
            ),
            (decided) => decided.map(({ outcome }) => outcome)
          )
        case "get":
          return Effect.map(store.get(sample.invoice(command.slot).id), show)
        case "getMany":
          return Effect.map(store.getMany(command.slots.map((slot) => sample.invoice(slot).id)), (some) =>
            some.map(show).sort((one, two) => one.slot - two.slot)
          )
        case "history":
          return Effect.map(store.history(sample.invoice(command.slot).id), (entries) =>
            entries.map(({ by, from, to, version, violations }) => ({
              version,
              from: Option.getOrNull(from),
              to,
              by,
              codes: codes(violations)
            }))
          )
        case "list":
          return list(command)
      }
    }
    return Effect.catch(answer(), ({ _tag }) => Effect.succeed(_tag))
  }
}

/** Whether store and model give the same answers to all commands, and the same changes afterwards. */
const agrees = (sequence: ReadonlyArray<Command>) =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const sample = makeSample()
    const model = new Model()
    const ask = asked(store, sample)
    const compare = (command: Command | string, expected: Answer, actual: Answer) =>
      JSON.stringify(expected) === JSON.stringify(actual)
        ? Effect.void
        : Effect.fail<Difference>({ command, expected, actual })
    const head = yield* Effect.orDie(store.head)
    for (const command of sequence) yield* compare(command, model.answer(command), yield* ask(command))
    const told: Array<Array<Answer>> = Array.from({ length: slots }, () => [])
    for (let cursor = head, more = true; more; ) {
      const page = yield* Effect.orDie(store.changes({ cursor, limit: 5 }))
      for (const { id, status, version, violations } of page.changes) {
        told[sample.slotOf(id)]?.push({ status, version, codes: codes(violations) })
      }
      cursor = page.next
      more = page.more
    }
    for (const [slot, changes] of told.entries()) yield* compare(`changes of ${slot}`, model.changes(slot), changes)
    return true
  })

export const law: Effect.Effect<void, unknown, InvoiceStore> = Effect.gen(function* () {
  const result = yield* Arbitrary.checkEffect(commands, agrees, { runs: 40, size: 60 })
  assert.strictEqual(Arbitrary.formatCheckFailure(result), undefined)
})
