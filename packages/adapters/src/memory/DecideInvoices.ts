/** Applying verdicts: an invoice's change of status with its history and its event. */
import { InvoiceEvent, InvoiceStatus, type Timestamp } from "@invoice/core"
import type { Decided, Decision, InvoiceStore } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import { now, type State } from "./State.ts"

export const make =
  (state: State["Service"]): InvoiceStore["Service"]["decide"] =>
  (decisions) =>
    Effect.map(now, (at) => decisions.map((decision) => decide(state, decision, at)))

const decide = (
  { invoices, record }: State["Service"],
  { id, traceparent, verdict, version }: Decision,
  at: Timestamp.Timestamp
): Decided => {
  const entry = invoices.get(id)
  if (entry === undefined) {
    return { id, outcome: "NotFound" }
  }
  const { stored } = entry
  if (!InvoiceStatus.canBecome(stored.status, verdict.status)) {
    return { id, outcome: "AlreadyFinal" }
  }
  if (stored.version !== version) {
    return { id, outcome: "Stale" }
  }
  const { by, status, violations } = verdict
  entry.stored = { ...stored, status, violations, version: version + 1 }
  entry.history.push({ version: version + 1, from: Option.some(stored.status), to: status, at, by, violations })
  record(InvoiceEvent.decided(id, version + 1, verdict), at, traceparent)
  return { id, outcome: "Decided" }
}
