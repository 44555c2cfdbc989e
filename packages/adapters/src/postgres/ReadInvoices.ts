/** Reading invoices: by id, in pages, and their histories. */
import {
  Currency,
  InvalidCursor,
  Invoice,
  InvoiceNotFound,
  type InvoiceStatus,
  type StoreUnavailable,
  Timestamp
} from "@invoice/core"
import type { HistoryEntry, InvoiceStore, ListQuery, Page, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect, Exit, Option } from "effect"
import * as Arrays from "./Arrays.ts"
import type * as BatchSize from "./BatchSize.ts"
import { columns, type InvoiceRow, toStored, violations } from "./InvoiceRows.ts"
import type { StoreQuery } from "./StoreQuery.ts"

const selectInvoices = `select ${columns} from invoice i where i.id = any($1::uuid[])`

const selectHistory = `
select version, from_status, to_status, at, by, violations::text as violations
from invoice_history where invoice_id = $1::uuid order by version`

const listInvoices = `
select ${columns} from invoice i
where ($1::bigint is null or i.position < $1) and ($2::text is null or i.status = $2)
  and ($3::uuid is null or i.customer_id = $3) and ($4::text is null or i.currency = $4)
order by i.position desc limit $5`

export const getMany =
  (query: StoreQuery): InvoiceStore["Service"]["getMany"] =>
  (ids) =>
    ids.length === 0
      ? Effect.succeed([])
      : Effect.map(query<InvoiceRow>(selectInvoices, [Arrays.uuids([...new Set(ids)])]), (rows) => rows.map(toStored))

const lengthOf = ({ lines, notes, violations }: InvoiceRow): number => lines.length + notes.length + violations.length

type Found = Exit.Exit<StoredInvoice, InvoiceNotFound | StoreUnavailable>

/** One outcome for each id, in their order; `size` learns from the rows how many ids may come at once. */
export const getEach =
  (query: StoreQuery, size: BatchSize.BatchSize) =>
  (ids: ReadonlyArray<Invoice.InvoiceId>): Effect.Effect<ReadonlyArray<Found>, StoreUnavailable> =>
    Effect.map(query<InvoiceRow>(selectInvoices, [Arrays.uuids([...new Set(ids)])]), (rows) => {
      size.learn(
        rows.length,
        rows.reduce((sum, row) => sum + lengthOf(row), 0)
      )
      const found = rows.map(toStored)
      const byId = new Map(found.map((stored) => [stored.invoice.id, stored]))
      return ids.map((id): Found => {
        const stored = byId.get(id)
        return stored === undefined ? Exit.fail(new InvoiceNotFound({ id })) : Exit.succeed(stored)
      })
    })

interface HistoryRow {
  readonly version: bigint
  readonly from_status: InvoiceStatus.InvoiceStatus | null
  readonly to_status: InvoiceStatus.InvoiceStatus
  readonly at: Date
  readonly by: string
  readonly violations: string
}

const toEntry = (row: HistoryRow): HistoryEntry => ({
  version: Number(row.version),
  from: Option.fromNullOr(row.from_status),
  to: row.to_status,
  at: Timestamp.fromMillis(row.at.getTime()),
  by: row.by,
  violations: violations(row.violations)
})

export const history =
  (query: StoreQuery): InvoiceStore["Service"]["history"] =>
  (id) =>
    Effect.flatMap(query<HistoryRow>(selectHistory, [id]), (rows) =>
      rows.length === 0 ? Effect.fail(new InvoiceNotFound({ id })) : Effect.succeed(rows.map(toEntry))
    )

const isCursor = (cursor: string): boolean => /^[1-9]\d{0,17}$/u.test(cursor)

export const list =
  (query: StoreQuery) =>
  ({
    currency,
    cursor,
    customerId,
    limit,
    status
  }: ListQuery): Effect.Effect<Page, InvalidCursor | StoreUnavailable> => {
    if (cursor !== undefined && !isCursor(cursor)) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    // no invoice has a customer that is no UUID, or a currency that there is not; Postgres may not even take such a text
    const isCustomer = customerId === undefined || Invoice.parseId(customerId) !== undefined
    const isCurrency = currency === undefined || Currency.get(currency) !== undefined
    if (!isCustomer || !isCurrency) {
      return Effect.succeed({ items: [], next: Option.none() })
    }
    const after = cursor === undefined ? null : BigInt(cursor)
    // one more than asked for tells whether there is a next page
    const rows = query<InvoiceRow>(listInvoices, [
      after,
      status ?? null,
      customerId ?? null,
      currency ?? null,
      limit + 1
    ])
    return Effect.map(rows, (found) => {
      const items = found.slice(0, limit)
      const last = items.at(-1)
      return {
        items: items.map(toStored),
        next: found.length > limit && last !== undefined ? Option.some(String(last.position)) : Option.none()
      }
    })
  }
