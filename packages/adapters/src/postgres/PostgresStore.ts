/** `InvoiceStore` on Postgres: every change is one statement, and so one transaction with its history and its event. */
import {
  Decimal,
  InvalidCursor,
  Invoice,
  InvoiceConflict,
  InvoiceEvent,
  InvoiceNotFound,
  type InvoiceStatus,
  InvoiceStore,
  Lane,
  Money,
  OutboxSignal,
  StoreUnavailable,
  Timestamp
} from "@invoice/core"
import type {
  CreateOptions,
  Creation,
  Decided,
  Decision,
  HistoryEntry,
  ListQuery,
  Page,
  StoredInvoice
} from "@invoice/core/ports/InvoiceStore"
import { Effect, Exit, Layer, Option, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Client from "./Client.ts"
import * as GroupCommit from "./GroupCommit.ts"
import { columns, type InvoiceRow, toStored, violations } from "./InvoiceRows.ts"
import * as Migrations from "./Migrations.ts"
import * as OutboxPartitions from "./OutboxPartitions.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as SqlState from "./SqlState.ts"
import * as WriteProbe from "./WriteProbe.ts"

type Store = InvoiceStore["Service"]

export interface Options extends Client.Options {
  /** How long published events are kept at least, in milliseconds; default seven days. Changes can be watched that far. */
  readonly outboxRetentionMillis?: number
}

const defaultRetentionMillis = 7 * 24 * 3_600_000

interface CreateRequest {
  readonly invoice: Invoice.Invoice
  readonly traceparent: string | undefined
}

/** The outcome of a creation: new, or what was there under its id. */
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

const selectInvoices = `select ${columns} from invoice i where i.id = any($1::uuid[])`

/**
 * Rows are locked by the update before their events take a number from the sequence: so `seq` is commit order per key.
 * Compared on version and status, so that no verdict is ever applied twice or to something else.
 */
const decideInvoices = `
with input as (
  select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
      $9::text[], $10::int4[])
    as t (id, version, status, violations, by, topic, type, payload, traceparent, hash)
), decided as (
  update invoice i set status = input.status, version = i.version + 1, violations = input.violations::json
  from input where i.id = input.id and i.version = input.version and i.status = 'Pending'
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

const selectHistory = `
select version, from_status, to_status, at, by, violations::text as violations
from invoice_history where invoice_id = $1::uuid order by version`

const listInvoices = `
select ${columns} from invoice i
where ($1::bigint is null or i.position < $1) and ($2::text is null or i.status = $2)
  and ($3::uuid is null or i.customer_id = $3) and ($4::text is null or i.currency = $4)
order by i.position desc limit $5`

const unavailable = (error: SqlError.SqlError): StoreUnavailable =>
  new StoreUnavailable({ kind: SqlState.kindOf(error), cause: error })

/** Two statements on one invoice deadlock unless they lock in the same order. */
const byId = (self: { readonly id: string }, that: { readonly id: string }): number =>
  self.id < that.id ? -1 : self.id > that.id ? 1 : 0

const sortable = (timestamp: Timestamp.Timestamp | undefined): string | null =>
  timestamp === undefined ? null : Timestamp.toSortable(timestamp)

const createParameters = (requests: ReadonlyArray<CreateRequest>): ReadonlyArray<unknown> => {
  const invoices = requests.map(({ invoice }) => invoice)
  const events = invoices.map(({ id }) => InvoiceEvent.created(id))
  const lines = invoices.flatMap(({ id, lines }) => lines.map((line, index) => ({ id, index, line })))
  return [
    Client.uuids(invoices.map(({ id }) => id)),
    Client.uuids(invoices.map(({ customerId }) => customerId)),
    Client.texts(invoices.map(({ amount }) => amount.currency)),
    Client.numerics(invoices.map(({ amount }) => Money.format(amount))),
    Client.texts(invoices.map(({ dueDate }) => sortable(dueDate))),
    Client.texts(invoices.map(({ createdAt }) => sortable(createdAt))),
    Client.texts(invoices.map(({ updatedAt }) => sortable(updatedAt))),
    Client.texts(invoices.map(({ notes }) => notes)),
    Client.texts(events.map(({ topic }) => topic)),
    Client.texts(events.map(({ type }) => type)),
    Client.texts(events.map(({ payload }) => payload)),
    Client.texts(requests.map(({ traceparent }) => traceparent ?? null)),
    Client.uuids(lines.map(({ id }) => id)),
    Client.integers(lines.map(({ index }) => index)),
    Client.texts(lines.map(({ line }) => line.description)),
    Client.numerics(lines.map(({ line }) => Decimal.format(line.quantity))),
    Client.numerics(lines.map(({ line }) => Decimal.format(line.unitPrice))),
    Client.numerics(lines.map(({ line }) => Money.format(line.total))),
    Client.integers(invoices.map(({ id }) => Lane.hash(id)))
  ]
}

const decideParameters = (decisions: ReadonlyArray<Decision>): ReadonlyArray<unknown> => {
  const events = decisions.map(({ id, verdict, version }) => InvoiceEvent.decided(id, version + 1, verdict))
  return [
    Client.uuids(decisions.map(({ id }) => id)),
    Client.bigints(decisions.map(({ version }) => BigInt(version))),
    Client.texts(decisions.map(({ verdict }) => verdict.status)),
    Client.texts(decisions.map(({ verdict }) => JSON.stringify(verdict.violations))),
    Client.texts(decisions.map(({ verdict }) => verdict.by)),
    Client.texts(events.map(({ topic }) => topic)),
    Client.texts(events.map(({ type }) => type)),
    Client.texts(events.map(({ payload }) => payload)),
    Client.texts(decisions.map(({ traceparent }) => traceparent ?? null)),
    Client.integers(decisions.map(({ id }) => Lane.hash(id)))
  ]
}

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Store, never, SqlClient.SqlClient | Scope.Scope> {
  const sql = yield* SqlClient.SqlClient
  const run = Client.run(sql, Client.timeoutMillisOf(options))
  const signal = yield* OutboxSignal.OutboxSignal

  const select = <Row extends object>(
    statement: string,
    parameters: ReadonlyArray<unknown>,
    millis?: number
  ): Effect.Effect<ReadonlyArray<Row>, StoreUnavailable> =>
    Effect.mapError(run<Row>(statement, parameters, millis), unavailable)

  const getMany: Store["getMany"] = (ids) =>
    ids.length === 0
      ? Effect.succeed([])
      : Effect.map(select<InvoiceRow>(selectInvoices, [Client.uuids([...new Set(ids)])]), (rows) => rows.map(toStored))

  const writeCreations = Effect.fnUntraced(function* (
    requests: ReadonlyArray<CreateRequest>
  ): Effect.fn.Return<ReadonlyArray<Exit.Exit<Creation, InvoiceConflict | StoreUnavailable>>, StoreUnavailable> {
    // the first of each id is written, in the order of ids; what comes after it meets it as already there
    const firsts = new Map<string, CreateRequest>()
    for (const request of requests) {
      if (!firsts.has(request.invoice.id)) {
        firsts.set(request.invoice.id, request)
      }
    }
    const writing = [...firsts.values()].sort((a, b) => byId(a.invoice, b.invoice))
    const inserted = new Map(
      (yield* select<{ id: string; stored_at: Date }>(insertInvoices, createParameters(writing))).map((row) => [
        row.id,
        Timestamp.fromMillis(row.stored_at.getTime())
      ])
    )
    yield* inserted.size === 0 ? Effect.void : signal.notify
    const rest = requests.filter(
      (request) => firsts.get(request.invoice.id) !== request || !inserted.has(request.invoice.id)
    )
    const there = new Map(
      (yield* getMany(rest.map(({ invoice }) => invoice.id))).map((stored) => [stored.invoice.id, stored])
    )
    return requests.map((request) => {
      const { invoice } = request
      const storedAt = inserted.get(invoice.id)
      return storedAt !== undefined && firsts.get(invoice.id) === request
        ? Exit.succeed<Creation>({
            outcome: "Created",
            stored: { invoice, status: "Pending", version: 1, violations: [], storedAt }
          })
        : meet(invoice, there.get(invoice.id))
    })
  })

  const create = yield* GroupCommit.make({
    workers: 2,
    maxBatch: 256,
    write: writeCreations,
    blamesRow: (error: InvoiceConflict | StoreUnavailable) =>
      error._tag === "StoreUnavailable" && error.kind === "permanent"
  })

  const get = yield* GroupCommit.make({
    workers: 2,
    maxBatch: 256,
    write: (ids: ReadonlyArray<Invoice.InvoiceId>) =>
      Effect.map(getMany(ids), (found) => {
        const byId = new Map(found.map((stored) => [stored.invoice.id, stored]))
        return ids.map((id): Exit.Exit<StoredInvoice, InvoiceNotFound | StoreUnavailable> => {
          const stored = byId.get(id)
          return stored === undefined ? Exit.fail(new InvoiceNotFound({ id })) : Exit.succeed(stored)
        })
      }),
    blamesRow: (_: InvoiceNotFound | StoreUnavailable) => false
  })

  const decide = Effect.fnUntraced(function* (
    decisions: ReadonlyArray<Decision>
  ): Effect.fn.Return<ReadonlyArray<Decided>, StoreUnavailable> {
    // of those that judged the same version of an invoice only the first can ever apply
    const judged = (id: string, version: number | bigint): string => `${id} ${version}`
    const firsts = new Map<string, Decision>()
    for (const decision of decisions) {
      const key = judged(decision.id, decision.version)
      if (!firsts.has(key)) {
        firsts.set(key, decision)
      }
    }
    const rows = yield* select<{ id: string; judged: bigint }>(
      decideInvoices,
      decideParameters([...firsts.values()].sort(byId))
    )
    const applied = new Set(rows.flatMap((row) => firsts.get(judged(row.id, row.judged)) ?? []))
    yield* applied.size === 0 ? Effect.void : signal.notify
    const rest = decisions.filter((decision) => !applied.has(decision))
    const statuses = new Map(
      (rest.length === 0
        ? []
        : yield* select<{ id: string; status: InvoiceStatus.InvoiceStatus }>(selectStatuses, [
            Client.uuids(rest.map(({ id }) => id))
          ])
      ).map(({ id, status }) => [id, status])
    )
    // pending until its turn in the order given, where one of the batch decides it
    for (const { id } of applied) {
      statuses.set(id, "Pending")
    }
    return decisions.map((decision): Decided => {
      const { id } = decision
      // once, also when the same one is there twice
      if (applied.delete(decision)) {
        statuses.set(id, decision.verdict.status)
        return { id, outcome: "Decided" }
      }
      const status = statuses.get(id)
      return { id, outcome: status === undefined ? "NotFound" : status === "Pending" ? "Stale" : "AlreadyFinal" }
    })
  })

  const history = (
    id: Invoice.InvoiceId
  ): Effect.Effect<ReadonlyArray<HistoryEntry>, InvoiceNotFound | StoreUnavailable> =>
    Effect.flatMap(
      select<{
        version: bigint
        from_status: InvoiceStatus.InvoiceStatus | null
        to_status: InvoiceStatus.InvoiceStatus
        at: Date
        by: string
        violations: string
      }>(selectHistory, [id]),
      (rows) =>
        rows.length === 0
          ? Effect.fail(new InvoiceNotFound({ id }))
          : Effect.succeed(
              rows.map((row) => ({
                version: Number(row.version),
                from: Option.fromNullOr(row.from_status),
                to: row.to_status,
                at: Timestamp.fromMillis(row.at.getTime()),
                by: row.by,
                violations: violations(row.violations)
              }))
            )
    )

  const list = (query: ListQuery): Effect.Effect<Page, InvalidCursor | StoreUnavailable> => {
    const { currency, cursor, customerId, limit, status } = query
    if (cursor !== undefined && !/^[1-9]\d{0,17}$/u.test(cursor)) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    if (customerId !== undefined && Invoice.parseId(customerId) === undefined) {
      // no invoice has a customer that isn't a UUID
      return Effect.succeed({ items: [], next: Option.none() })
    }
    return Effect.map(
      select<InvoiceRow>(listInvoices, [
        cursor === undefined ? null : BigInt(cursor),
        status ?? null,
        customerId ?? null,
        currency ?? null,
        limit + 1
      ]),
      (rows) => {
        const items = rows.slice(0, limit)
        const last = items.at(-1)
        return {
          items: items.map(toStored),
          next: rows.length > limit && last !== undefined ? Option.some(String(last.position)) : Option.none()
        }
      }
    )
  }

  const ready = Effect.flatMap(
    select<{ migration_id: number }>(`select max(migration_id) as migration_id from ${Migrations.table}`, []),
    ([row]) =>
      row?.migration_id === Migrations.latest
        ? Effect.void
        : Effect.fail(
            new StoreUnavailable({
              kind: "unavailable",
              cause: new Error(
                `the schema is at migration ${row?.migration_id ?? 0}, this program needs ${Migrations.latest}`
              )
            })
          )
  )

  yield* OutboxPartitions.maintain(options.outboxRetentionMillis ?? defaultRetentionMillis).pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
    Effect.forkScoped
  )

  return InvoiceStore.of({
    create: (invoice: Invoice.Invoice, options?: CreateOptions) =>
      create({ invoice, traceparent: options?.traceparent }),
    get,
    getMany,
    list,
    history,
    decide,
    ...PostgresChanges.make((statement, parameters) => select(statement, parameters, Client.readMillisOf(options))),
    ready,
    writable: Effect.asVoid(run(WriteProbe.probe, [])).pipe(
      // whatever Postgres has against it, it is not the probe's fault
      Effect.mapError((cause) => new StoreUnavailable({ kind: "unavailable", cause }))
    )
  })
})

const meet = (
  invoice: Invoice.Invoice,
  stored: StoredInvoice | undefined
): Exit.Exit<Creation, InvoiceConflict | StoreUnavailable> =>
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

/** The store on a pool of its own. The schema must be there: provide `Migrations.layer` before it. */
export const layer = (options: Options): Layer.Layer<InvoiceStore, SqlError.SqlError> =>
  Layer.effect(InvoiceStore, make(options)).pipe(Layer.provide(Client.layer(options, "invoice-store", "deadlines")))
