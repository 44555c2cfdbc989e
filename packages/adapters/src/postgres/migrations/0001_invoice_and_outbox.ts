/** The first schema: invoices with lines and history, and the outbox with its positions and parked events. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = [
  `create table invoice (
    id uuid primary key,
    position bigint generated always as identity,
    customer_id uuid not null,
    currency text not null,
    amount numeric(21, 4) not null,
    -- RFC 3339 in UTC with nine fraction digits: the order of the texts is the order of time, and nanoseconds survive
    due_date text collate "C",
    created_at text collate "C",
    updated_at text collate "C",
    notes text not null,
    status text not null default 'Pending' check (status in ('Pending', 'Approved', 'Rejected')),
    version bigint not null default 1,
    -- json, not jsonb: violations come back byte for byte
    violations json not null default '[]',
    stored_at timestamptz not null default date_trunc('milliseconds', clock_timestamp())
  ) with (fillfactor = 85)`,
  `create unique index invoice_position on invoice (position)`,
  `create table invoice_line (
    invoice_id uuid not null references invoice,
    line_no integer not null,
    description text not null,
    quantity numeric(26, 9) not null,
    unit_price numeric(26, 9) not null,
    total numeric(21, 4) not null,
    primary key (invoice_id, line_no)
  )`,
  `create table invoice_history (
    invoice_id uuid not null references invoice,
    version bigint not null,
    from_status text,
    to_status text not null,
    at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
    by text not null,
    violations json not null default '[]',
    primary key (invoice_id, version)
  )`,
  // cache 1: a number handed out ahead would break "seq order is commit order per key"
  `create sequence outbox_seq cache 1`,
  `create table outbox_event (
    seq bigint not null default nextval('outbox_seq'),
    xid xid8 not null default pg_current_xact_id(),
    lane smallint not null,
    id uuid not null default gen_random_uuid(),
    topic text not null,
    key text not null,
    ver bigint not null,
    type text not null,
    payload bytea not null,
    headers jsonb not null,
    at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
    primary key (seq)
  ) partition by range (seq)`,
  `create index outbox_event_xid on outbox_event (xid)`,
  `create table outbox_cursor (
    lane smallint primary key,
    lo pg_snapshot not null,
    hi pg_snapshot,
    pos bigint,
    epoch bigint not null default 0,
    owner text,
    lease_until timestamptz
  ) with (fillfactor = 10)`,
  // 3 is the first transaction id of all: this snapshot has seen nothing
  `insert into outbox_cursor (lane, lo) values (0, '3:3:')`,
  `create table outbox_parked_key (
    key text primary key,
    reason text not null,
    since timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
    replay boolean not null default false
  )`,
  `create table outbox_parked (
    id uuid primary key,
    lane smallint not null,
    topic text not null,
    key text not null references outbox_parked_key on delete cascade,
    ver bigint not null,
    type text not null,
    payload bytea not null,
    headers jsonb not null,
    at timestamptz not null
  )`,
  `create index outbox_parked_order on outbox_parked (key, ver)`
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
