/** Applying verdicts: many in one statement, and so one transaction with their histories and events. */
import { InvoiceEvent, type InvoiceStatus, Lane, type StoreUnavailable } from "@invoice/core"
import type { Decided, Decision } from "@invoice/core/ports/InvoiceStore"
import type { Signal } from "@invoice/core/ports/OutboxSignal"
import { Effect } from "effect"
import * as Arrays from "./Arrays.ts"
import { byId, firstOfEach, type StoreQuery } from "./StoreQuery.ts"

/**
 * The update locks an invoice's row before its event takes a number from the sequence, so `seq` is commit order per
 * key. It compares version and status, so that no verdict is ever applied twice or to a version that was not judged.
 *
 * `is true` keeps the planner from finding the rows by their status in an index of lists, which it prefers to the ids
 * while its statistics know of no pending invoice: 40 times the work.
 */
const decideInvoices = `
with input as (
  select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::int4[])
    as t (id, version, status, violations, by, topic, type, payload, traceparent, hash)
), decided as (
  update invoice i set status = input.status, version = i.version + 1, violations = input.violations::json
  from input where i.id = input.id and i.version = input.version and (i.status = 'Pending') is true
  returning i.id, input.version as judged, i.version
), history as (
  insert into invoice_history (invoice_id, version, from_status, to_status, by, violations)
  select decided.id, decided.version, 'Pending', input.status, input.by, input.violations::json
  from decided join input on input.id = decided.id and input.version = decided.judged
), events as (
  insert into outbox_event (lane, topic, key, ver, type, payload, headers)
  select input.hash % state.lanes, input.topic, decided.id::text, decided.version, input.type, convert_to(input.payload, 'UTF8'),
    case when input.traceparent is null then '{}'::jsonb else jsonb_build_object('traceparent', input.traceparent) end
  from decided join input on input.id = decided.id and input.version = decided.judged, outbox_state state
)
select id, judged from decided`

const selectStatuses = `select id, status from invoice where id = any($1::uuid[])`

const decideParameters = (decisions: ReadonlyArray<Decision>): ReadonlyArray<unknown> => {
  const events = decisions.map(({ id, verdict, version }) => InvoiceEvent.decided(id, version + 1, verdict))
  return [
    Arrays.uuids(decisions.map(({ id }) => id)),
    Arrays.bigints(decisions.map(({ version }) => BigInt(version))),
    Arrays.texts(decisions.map(({ verdict }) => verdict.status)),
    Arrays.texts(decisions.map(({ verdict }) => JSON.stringify(verdict.violations))),
    Arrays.texts(decisions.map(({ verdict }) => verdict.by)),
    Arrays.texts(events.map(({ topic }) => topic)),
    Arrays.texts(events.map(({ type }) => type)),
    Arrays.texts(events.map(({ payload }) => payload)),
    Arrays.texts(decisions.map(({ traceparent }) => traceparent ?? null)),
    Arrays.integers(decisions.map(({ id }) => Lane.hash(id)))
  ]
}

export interface Options {
  readonly query: StoreQuery
  /** Notified when events were written. */
  readonly signal: Signal
}

/** One outcome for each decision, as if they were applied one after the other. */
export const make = ({ query, signal }: Options) =>
  Effect.fnUntraced(function* (
    decisions: ReadonlyArray<Decision>
  ): Effect.fn.Return<ReadonlyArray<Decided>, StoreUnavailable> {
    // of those that judged the same version of an invoice only the first can ever apply
    const firsts = firstOfEach(decisions, ({ id, version }) => judged(id, version))
    const rows = yield* query<{ id: string; judged: bigint }>(
      decideInvoices,
      decideParameters([...firsts.values()].sort(byId))
    )
    yield* rows.length === 0 ? Effect.void : signal.notify
    const applied = new Set(rows.flatMap((row) => firsts.get(judged(row.id, row.judged)) ?? []))
    const rest = decisions.filter((decision) => !applied.has(decision)).map(({ id }) => id)
    const found =
      rest.length === 0
        ? []
        : yield* query<{ id: string; status: InvoiceStatus.InvoiceStatus }>(selectStatuses, [Arrays.uuids(rest)])
    return outcomes(decisions, applied, new Map(found.map(({ id, status }) => [id, status])))
  })

const judged = (id: string, version: number | bigint): string => `${id} ${version}`

const outcomes = (
  decisions: ReadonlyArray<Decision>,
  applied: Set<Decision>,
  statuses: Map<string, InvoiceStatus.InvoiceStatus>
): ReadonlyArray<Decided> => {
  // an invoice that this batch decides is pending until the turn of the decision that applies
  for (const { id } of applied) statuses.set(id, "Pending")
  return decisions.map((decision): Decided => {
    const { id } = decision
    // `delete`, so that it applies once, even if the same decision is in the batch twice
    if (applied.delete(decision)) {
      statuses.set(id, decision.verdict.status)
      return { id, outcome: "Decided" }
    }
    const status = statuses.get(id)
    return { id, outcome: status === undefined ? "NotFound" : status === "Pending" ? "Stale" : "AlreadyFinal" }
  })
}
