/**
 * Loads the invoices that messages name, judges them, and writes the verdicts. A verdict applies only to an invoice
 * that has not changed since it was judged, so handling a message again changes nothing.
 */
import { Effect, Metric } from "effect"
import type { InvoiceId } from "../domain/Invoice.ts"
import { StoreUnavailable } from "../domain/InvoiceError.ts"
import * as InvoiceEvent from "../domain/InvoiceEvent.ts"
import type { Decided, Decision, InvoiceStore, StoredInvoice } from "../ports/InvoiceStore.ts"
import type { InvoiceValidator } from "../ports/InvoiceValidator.ts"
import type * as DeadLetter from "./DeadLetter.ts"
import type * as WriteProof from "./WriteProof.ts"

export interface Options {
  readonly store: InvoiceStore["Service"]
  readonly validator: InvoiceValidator["Service"]
  /** Whether the store takes writes, by a probe that begins after the call. */
  readonly proof: Effect.Effect<WriteProof.Outcome>
}

export interface Judged {
  /** Messages that become dead letters whatever the store does. */
  readonly unhandled: ReadonlyArray<DeadLetter.Unhandled>
  /** How many verdicts were written; invoices that had one already don't count. */
  readonly written: number
}

export type Judge = (received: ReadonlyArray<DeadLetter.Received>) => Effect.Effect<Judged, StoreUnavailable>

/** Messages by the invoice that they name: the same invoice may come several times. */
type ById = ReadonlyMap<InvoiceId, ReadonlyArray<DeadLetter.Received>>

/** How often invoices that changed while they were judged are judged again: more changes mean a fault of the store. */
const rejudgings = 5

export const make =
  (options: Options): Judge =>
  (received) =>
    Effect.gen(function* () {
      const { byId, undecodable } = sort(received)
      let waiting: ById = byId
      const unhandled = [...undecodable]
      let written = 0
      for (let rejudged = 0; waiting.size > 0; rejudged++) {
        if (rejudged > rejudgings) {
          const cause = new Error(`${waiting.size} invoices change faster than they are judged`)
          return yield* new StoreUnavailable({ kind: "retryable", cause })
        }
        const round = yield* judgeOnce(options, waiting)
        unhandled.push(...round.unhandled)
        written += round.written
        waiting = new Map([...waiting].filter(([id]) => round.stale.has(id)))
      }
      return { unhandled, written }
    })

const sort = (received: ReadonlyArray<DeadLetter.Received>) => {
  const undecodable: Array<DeadLetter.Unhandled> = []
  const byId = new Map<InvoiceId, Array<DeadLetter.Received>>()
  for (const one of received) {
    // by its value alone, as the reference writes it: one that can't be read is a dead letter whatever its headers say
    const id = InvoiceEvent.decode({ payload: one.message.value })?.id
    if (id === undefined) {
      const reason = 'the value is not JSON like {"id": "<uuid>"}'
      undecodable.push({ received: one, kind: "Undecodable", reason, attempts: 1 })
    } else {
      const sameId = byId.get(id)
      if (sameId === undefined) byId.set(id, [one])
      else sameId.push(one)
    }
  }
  return { byId, undecodable }
}

/** Judges each invoice once. `stale` holds the invoices that changed between being loaded and being decided. */
const judgeOnce = Effect.fnUntraced(function* (options: Options, byId: ById) {
  const unhandled: Array<DeadLetter.Unhandled> = []
  const addUnhandled = (id: InvoiceId, kind: DeadLetter.Kind, reason: string): void => {
    for (const received of byId.get(id) ?? []) unhandled.push({ received, kind, reason, attempts: 1 })
  }
  const unknown = (id: InvoiceId): void => addUnhandled(id, "UnknownInvoice", `there is no invoice ${id}`)
  const found = yield* load(options, [...byId.keys()])
  const known = new Set(found.map(({ invoice }) => invoice.id))
  for (const id of byId.keys()) {
    if (!known.has(id)) unknown(id)
  }
  const decisions: Array<Decision> = []
  for (const stored of found) {
    if (stored.status !== "Pending") continue
    const { id } = stored.invoice
    const judged = yield* judge(options, stored, byId.get(id)?.[0]?.message.headers["traceparent"])
    if (typeof judged === "string") addUnhandled(id, "ValidatorDied", judged)
    else decisions.push(judged)
  }
  const outcomes = decisions.length === 0 ? [] : yield* options.store.decide(decisions)
  for (const { id } of outcomes.filter(is("NotFound"))) unknown(id)
  const applied = decisions.filter((_, index) => outcomes[index]?.outcome === "Decided")
  yield* Effect.forEach(applied, report, { discard: true })
  return { unhandled, written: applied.length, stale: new Set(outcomes.filter(is("Stale")).map(({ id }) => id)) }
})

const is =
  (wanted: Decided["outcome"]) =>
  ({ outcome }: Decided): boolean =>
    outcome === wanted

/**
 * Loads the invoices that exist. A missing one counts as unknown only when it is still missing after the store has
 * proved that it takes writes: a standby may not have it yet.
 */
const load = Effect.fnUntraced(function* ({ proof, store }: Options, ids: ReadonlyArray<InvoiceId>) {
  const found = yield* store.getMany(ids)
  const known = new Set(found.map(({ invoice }) => invoice.id))
  const missing = ids.filter((id) => !known.has(id))
  if (missing.length === 0) {
    return found
  }
  const unproven = yield* proof
  return unproven === undefined ? [...found, ...(yield* store.getMany(missing))] : yield* unproven
})

/** A defect of the validator fails only its own invoice, not the others of the batch. */
const judge = (
  { validator }: Options,
  stored: StoredInvoice,
  traceparent: string | undefined
): Effect.Effect<Decision | string> =>
  validator.judge(stored.invoice).pipe(
    Effect.map((verdict): Decision => ({ id: stored.invoice.id, version: stored.version, verdict, traceparent })),
    Effect.catchDefect((defect) => Effect.succeed(`the validator died: ${String(defect)}`))
  )

const handled = Metric.counter("total_handled_invoices", {
  description: "Invoices that got their verdict, by status",
  incremental: true
})

/** The rules that were broken, each once: an invoice can break one on each of a thousand lines. */
const codesOf = ({ violations }: Decision["verdict"]): string =>
  [...new Set(violations.map(({ code }) => code))].slice(0, 20).join(",")

const report = ({ id, verdict }: Decision): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(handled, { status: verdict.status }), 1),
    verdict.status === "Rejected"
      ? Effect.logInfo("invoice rejected").pipe(Effect.annotateLogs({ id, by: verdict.by, codes: codesOf(verdict) }))
      : Effect.void
  )
