/** Creating invoices: many in one statement, and so one transaction with their lines, histories and events. */
import {
  Decimal,
  Invoice,
  InvoiceConflict,
  InvoiceEvent,
  Lane,
  Money,
  StoreUnavailable,
  Timestamp
} from "@invoice/core"
import type { Creation, InvoiceStore, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import type { Signal } from "@invoice/core/ports/OutboxSignal"
import { Effect, Exit } from "effect"
import * as Arrays from "./Arrays.ts"
import { byId, firstOfEach, type StoreQuery } from "./StoreQuery.ts"

export interface CreateRequest {
  readonly invoice: Invoice.Invoice
  readonly traceparent: string | undefined
}

/** Answers the invoices that are new; there is no row for an id that is taken already. */
const insertInvoices = `
with input as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::text[], $11::text[], $12::text[], $19::int4[])
    as t (id, customer_id, currency, amount, due_date, created_at, updated_at, notes, topic, type, payload, traceparent,
      hash)
), inserted as (
  insert into invoice (id, customer_id, currency, amount, due_date, created_at, updated_at, notes)
  select id, customer_id, currency, amount, due_date, created_at, updated_at, notes from input
  on conflict (id) do nothing
  returning id, stored_at
), lines as (
  insert into invoice_line (invoice_id, line_no, description, quantity, unit_price, total)
  select l.invoice_id, l.line_no, l.description, l.quantity, l.unit_price, l.total
  from unnest($13::uuid[], $14::int4[], $15::text[], $16::numeric[], $17::numeric[], $18::numeric[])
    as l (invoice_id, line_no, description, quantity, unit_price, total)
  join inserted on inserted.id = l.invoice_id
), history as (
  insert into invoice_history (invoice_id, version, from_status, to_status, at, by)
  select id, 1, null, 'Pending', stored_at, 'api' from inserted
), events as (
  insert into outbox_event (lane, topic, key, ver, type, payload, headers)
  select input.hash % state.lanes, input.topic, input.id::text, 1, input.type, convert_to(input.payload, 'UTF8'),
    case when input.traceparent is null then '{}'::jsonb else jsonb_build_object('traceparent', input.traceparent) end
  from inserted join input on input.id = inserted.id, outbox_state state
)
select id, stored_at from inserted`

const sortable = (timestamp: Timestamp.Timestamp | undefined): string | null =>
  timestamp === undefined ? null : Timestamp.toSortable(timestamp)

const createParameters = (requests: ReadonlyArray<CreateRequest>): ReadonlyArray<unknown> => {
  const invoices = requests.map(({ invoice }) => invoice)
  const events = invoices.map(({ id }) => InvoiceEvent.created(id))
  const lines = invoices.flatMap(({ id, lines }) => lines.map((line, index) => ({ id, index, line })))
  return [
    Arrays.uuids(invoices.map(({ id }) => id)),
    Arrays.uuids(invoices.map(({ customerId }) => customerId)),
    Arrays.texts(invoices.map(({ amount }) => amount.currency)),
    Arrays.numerics(invoices.map(({ amount }) => Money.format(amount))),
    Arrays.texts(invoices.map(({ dueDate }) => sortable(dueDate))),
    Arrays.texts(invoices.map(({ createdAt }) => sortable(createdAt))),
    Arrays.texts(invoices.map(({ updatedAt }) => sortable(updatedAt))),
    Arrays.texts(invoices.map(({ notes }) => notes)),
    Arrays.texts(events.map(({ topic }) => topic)),
    Arrays.texts(events.map(({ type }) => type)),
    Arrays.texts(events.map(({ payload }) => payload)),
    Arrays.texts(requests.map(({ traceparent }) => traceparent ?? null)),
    Arrays.uuids(lines.map(({ id }) => id)),
    Arrays.integers(lines.map(({ index }) => index)),
    Arrays.texts(lines.map(({ line }) => line.description)),
    Arrays.numerics(lines.map(({ line }) => Decimal.format(line.quantity))),
    Arrays.numerics(lines.map(({ line }) => Decimal.format(line.unitPrice))),
    Arrays.numerics(lines.map(({ line }) => Money.format(line.total))),
    Arrays.integers(invoices.map(({ id }) => Lane.hash(id)))
  ]
}

export interface Options {
  readonly query: StoreQuery
  /** Reads the invoices whose ids are taken already. */
  readonly getMany: InvoiceStore["Service"]["getMany"]
  /** Notified when events were written. */
  readonly signal: Signal
}

type Outcome = Exit.Exit<Creation, InvoiceConflict | StoreUnavailable>

/** One outcome for each request, in their order. */
export const make = ({ getMany, query, signal }: Options) =>
  Effect.fnUntraced(function* (
    requests: ReadonlyArray<CreateRequest>
  ): Effect.fn.Return<ReadonlyArray<Outcome>, StoreUnavailable> {
    // of each id the first is written; the later ones find it already there
    const firsts = firstOfEach(requests, ({ invoice }) => invoice.id)
    const writing = [...firsts.values()].sort((a, b) => byId(a.invoice, b.invoice))
    const rows = yield* query<{ id: string; stored_at: Date }>(insertInvoices, createParameters(writing))
    yield* rows.length === 0 ? Effect.void : signal.notify
    const inserted = new Map(rows.map((row) => [row.id, Timestamp.fromMillis(row.stored_at.getTime())]))
    const isNew = (request: CreateRequest): boolean =>
      firsts.get(request.invoice.id) === request && inserted.has(request.invoice.id)
    const rest = requests.filter((request) => !isNew(request)).map(({ invoice }) => invoice.id)
    const there = new Map((yield* getMany(rest)).map((stored) => [stored.invoice.id, stored]))
    return requests.map((request) => {
      const { invoice } = request
      const storedAt = inserted.get(invoice.id)
      return isNew(request) && storedAt !== undefined
        ? created(invoice, storedAt)
        : compared(invoice, there.get(invoice.id))
    })
  })

const created = (invoice: Invoice.Invoice, storedAt: Timestamp.Timestamp): Outcome =>
  Exit.succeed({ outcome: "Created", stored: { invoice, status: "Pending", version: 1, violations: [], storedAt } })

/** The outcome of a request whose id is taken. */
const compared = (invoice: Invoice.Invoice, stored: StoredInvoice | undefined): Outcome =>
  stored === undefined
    ? Exit.fail(
        new StoreUnavailable({
          kind: "retryable",
          cause: new Error(`invoice ${invoice.id} was there and is gone again`)
        })
      )
    : Invoice.canonical(stored.invoice) === Invoice.canonical(invoice)
      ? Exit.succeed({ outcome: "Unchanged", stored })
      : Exit.fail(new InvoiceConflict({ id: invoice.id }))
