/** What the laws of the store share: verdicts to apply, and the events that changes write. */
import { type Invoice, Outbox, type Verdict } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { Decision } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"

export const approve: Verdict.Verdict = { status: "Approved", violations: [], by: "test@1" }

export const reject: Verdict.Verdict = {
  status: "Rejected",
  by: "test@1",
  violations: [
    {
      code: "T-1",
      severity: "error",
      path: "/items/0/total",
      message: 'says "why" — żółć',
      expected: "1.00",
      actual: "2"
    },
    { code: "T-2", severity: "warning", path: "", message: "and a warning" }
  ]
}

export const decision = (invoice: Invoice.Invoice, verdict: Verdict.Verdict, version = 1): Decision => ({
  id: invoice.id,
  version,
  verdict
})

export const outcomes = (decided: ReadonlyArray<{ readonly outcome: string }>) => decided.map(({ outcome }) => outcome)

/** Every event of some invoices in the outbox, which is read from its beginning. */
export const eventsOf = (
  ...invoices: ReadonlyArray<Invoice.Invoice>
): Effect.Effect<ReadonlyArray<OutboxEvent>, unknown, Outbox> =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const keys = new Set<string>(invoices.map(({ id }) => id))
    const acquire = outbox.acquire({ lane: 0, owner: crypto.randomUUID(), ttlMillis: 60_000 })
    // released also when a law fails, so that the laws after it can hold the lane
    return yield* Effect.acquireUseRelease(
      Effect.map(acquire, Option.getOrThrow),
      (lease) =>
        Effect.gen(function* () {
          const found: Array<OutboxEvent> = []
          let position = lease.position
          let more = true
          while (more) {
            const page = yield* outbox.read({ lease, position, limit: 1_000 })
            found.push(...page.events.filter(({ key }) => keys.has(key)))
            position = page.next
            more = page.more
          }
          return found
        }),
      (lease) => Effect.ignore(outbox.release(lease))
    )
  })
