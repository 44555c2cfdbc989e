/** The statements that create invoices, many at once, with their lines, histories and events. */
import { Decimal, type Invoice, InvoiceEvent, Lane, Money, Timestamp } from "@invoice/core"
import type { Idempotency } from "@invoice/core/ports/InvoiceStore"
import * as Arrays from "./Arrays.ts"

export interface CreateRequest {
  readonly invoice: Invoice.Invoice
  readonly traceparent: string | undefined
  readonly by: string
  readonly idempotency: Idempotency | undefined
}

const columns = "id, customer_id, currency, amount, due_date, created_at, updated_at, notes"

/** What is written for each new invoice, which the query `inserted` has. */
const consequences = `
lines as (
  insert into invoice_line (invoice_id, line_no, description, quantity, unit_price, total)
  select l.invoice_id, l.line_no, l.description, l.quantity, l.unit_price, l.total
  from unnest($13::uuid[], $14::int4[], $15::text[], $16::numeric[], $17::numeric[], $18::numeric[])
    as l (invoice_id, line_no, description, quantity, unit_price, total)
  join inserted on inserted.id = l.invoice_id
), history as (
  insert into invoice_history (invoice_id, version, from_status, to_status, at, by)
  select inserted.id, 1, null, 'Pending', inserted.stored_at, input.by from inserted join input on input.id = inserted.id
), events as (
  insert into outbox_event (lane, topic, key, ver, type, payload, headers)
  select input.hash % state.lanes, input.topic, input.id::text, 1, input.type, convert_to(input.payload, 'UTF8'),
    case when input.traceparent is null then '{}'::jsonb else jsonb_build_object('traceparent', input.traceparent) end
  from inserted join input on input.id = inserted.id, outbox_state state
)
select id, stored_at from inserted`

/** Answers the invoices that are new; there is no row for an id that is taken already. */
export const insertInvoices = `
with input as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::text[], $11::text[], $12::text[], $19::int4[], $20::text[])
    as t (${columns}, topic, type, payload, traceparent, hash, by)
), inserted as (
  insert into invoice (${columns})
  select ${columns} from input
  on conflict (id) do nothing
  returning id, stored_at
), ${consequences}`

/**
 * The same for requests of which some have an idempotency key. There is no row either for a request whose key is
 * known; its invoice is not inserted.
 *
 * A key is inserted before its invoice, since an insert into `idempotency_key` waits for another transaction that has
 * the same key in hand. A request whose id is taken must not leave its key behind, and a statement can't delete a row
 * that it has inserted. So ids that are taken are left out first; an id that another transaction takes after that look
 * violates the primary key of `invoice`, and the whole statement is to be sent again.
 *
 * Every transaction locks keys before invoices, each in their order, so that none waits for another in a circle: the
 * sort by id reads all keys before the first invoice is inserted.
 */
export const insertWithKeys = `
with input as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::text[], $11::text[], $12::text[], $19::int4[], $20::text[], $21::text[], $22::text[], $23::bytea[])
    as t (${columns}, topic, type, payload, traceparent, hash, by, principal, idempotency_key, request_hash)
), open as (
  select input.* from input
  where not exists (select from invoice i where i.id = input.id)
    and not exists (
      select from idempotency_key k
      where k.principal = input.principal and k.key = input.idempotency_key
        and k.at > statement_timestamp() - $24::bigint * interval '1 ms'
    )
), keys as (
  insert into idempotency_key as k (principal, key, hash, invoice_id)
  select principal, idempotency_key, request_hash, id from open where idempotency_key is not null
  order by principal collate "C", idempotency_key collate "C"
  on conflict (principal, key) do update
    set hash = excluded.hash, invoice_id = excluded.invoice_id, found_version = null, at = excluded.at
    where k.at <= statement_timestamp() - $24::bigint * interval '1 ms'
  returning invoice_id
), inserted as (
  insert into invoice (${columns})
  select ${columns} from open
  where idempotency_key is null or id in (select invoice_id from keys)
  order by id
  returning id, stored_at
), ${consequences}`

const sortable = (timestamp: Timestamp.Timestamp | undefined): string | null =>
  timestamp === undefined ? null : Timestamp.toSortable(timestamp)

/** The parameters of `insertInvoices`. */
export const parameters = (requests: ReadonlyArray<CreateRequest>): ReadonlyArray<unknown> => {
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
    Arrays.integers(invoices.map(({ id }) => Lane.hash(id))),
    Arrays.texts(requests.map(({ by }) => by))
  ]
}
