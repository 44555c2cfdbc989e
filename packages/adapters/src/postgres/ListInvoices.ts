/**
 * Pages of invoices, newest first, each from an index whatever the filters.
 *
 * One index can't hold the order of the list and the order of a range of due dates. So the positions are cut into
 * blocks, and the indexes of `ListIndexes` hold the invoices of one currency and status (and customer) by their block
 * and, within it, by their due date. A list goes through the currencies and statuses that its filters leave open, and
 * in each through the blocks, newest first, up to the block that fills the page. So most lists read one block, and a
 * range of due dates that matches nothing costs a probe for each block: 183 at three million invoices.
 */
import { Currency, InvalidCursor, Invoice, type StoreUnavailable, Timestamp } from "@invoice/core"
import { type ListQuery, maxPageBytes, type Page } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option } from "effect"
import { columns, type InvoiceRow, toStored } from "./InvoiceRows.ts"
import { blockOf } from "./ListIndexes.ts"
import type { StoreQuery } from "./StoreQuery.ts"

/** A statement and its parameters. The text depends on which filters are given, not on their values. */
export interface Statement {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
}

/** The SQL expressions of a query's filters, as far as they are given. */
interface Filters {
  readonly customer: string | undefined
  readonly currency: string | undefined
  readonly status: string | undefined
  /** Conditions on `invoice i`, each with `and` before it. */
  readonly due: string
  readonly stored: string
  /** The position that the page is behind. */
  readonly before: string
  /** One more invoice than asked for tells whether there is a next page. */
  readonly rows: string
}

/** Behind every position. */
const newest = 2n ** 62n

/** Before and behind every due date, in the order of their texts. */
const [earliest, latest] = ["", "~"]

const filtersOf = (query: ListQuery, bind: (value: unknown, type: string) => string): Filters => {
  const { currency, cursor, customerId, dueAfter, dueBefore, limit, status, storedAfter, storedBefore } = query
  const sortable = (time: Timestamp.Timestamp | undefined, otherwise: string) =>
    bind(time === undefined ? otherwise : Timestamp.toSortable(time), "text")
  const before = bind(cursor === undefined ? newest : BigInt(cursor), "bigint")
  const rows = bind(limit + 1, "integer")
  return {
    before,
    rows,
    customer: customerId === undefined ? undefined : bind(customerId, "uuid"),
    currency: currency === undefined ? undefined : bind(currency, "text"),
    status: status === undefined ? undefined : bind(status, "text"),
    due:
      dueAfter === undefined && dueBefore === undefined
        ? ""
        : `and i.due_date >= ${sortable(dueAfter, earliest)} and i.due_date < ${sortable(dueBefore, latest)}`,
    stored:
      storedAfter === undefined && storedBefore === undefined
        ? ""
        : `and i.stored_at >= ${bind(milliseconds(storedAfter, "-infinity"), "text")}::timestamptz
      and i.stored_at < ${bind(milliseconds(storedBefore, "infinity"), "text")}::timestamptz`
  }
}

/** The first whole millisecond that isn't earlier: an invoice's time of storing is shown in milliseconds. */
const milliseconds = (time: Timestamp.Timestamp | undefined, otherwise: string): string => {
  if (time === undefined) {
    return otherwise
  }
  const sortable = Timestamp.toSortable(time)
  const millis = Date.parse(`${sortable.slice(0, 23)}Z`) + (sortable.slice(23, 29) === "000000" ? 0 : 1)
  return millis > lastMilli ? "infinity" : new Date(millis).toISOString()
}

const lastMilli = Date.parse("9999-12-31T23:59:59.999Z")

/**
 * The blocks that hold invoices in the range of the time of storing: one probe for each block, since the order of
 * positions is nearly, but not always, the order of time.
 */
const span = ({ stored }: Filters): string => `span(first, last) as materialized (
  select min(block), max(block)
  from generate_series(0::bigint, (select ${blockOf("i.position")} from invoice i order by i.position desc limit 1)) block
  where (select true from invoice i where ${blockOf("i.position")} = block ${stored} limit 1)
)`

/** The currencies that there are (of the customer), each found by one probe of the index. */
const currencies = ({ customer }: Filters): string => {
  const ofCustomer = customer === undefined ? "" : `i.customer_id = ${customer} and`
  return `currency(code) as (
  (select i.currency from invoice i where ${ofCustomer} true order by i.currency limit 1)
  union all
  select (select i.currency from invoice i where ${ofCustomer} i.currency > currency.code order by i.currency limit 1)
  from currency where currency.code is not null
)`
}

/**
 * The positions of the invoices of one group, newest first. The index has the order of the blocks, so the search ends
 * with the block in which there are enough of them.
 *
 * Since Postgres 18, which skips from block to block, a range of due dates is one probe for each block. Before, all
 * entries of the group are read.
 */
const positionsOf = (filters: Filters, group: string): string => {
  const { before, due, rows, stored } = filters
  const block = blockOf("i.position")
  const blocks =
    stored === ""
      ? `${block} <= ${blockOf(before)}`
      : `${block} >= (select first from span) and ${block} <= (select least(last, ${blockOf(before)}) from span)`
  // "is true": a filter. As a range it would make the planner prefer the index of the time of storing to the group's
  const within = group === "" || stored === "" ? stored : `and (${stored.slice("and ".length)}) is true`
  return `(
    select found.position
    from (
      select i.position, ${block} as block from invoice i
      where ${group} ${blocks} and i.position < ${before} ${due} ${within}
      order by block desc fetch first (${rows}) rows with ties
    ) found
    order by found.position desc limit ${rows}
  )`
}

/** The positions of a page. */
const positions = (filters: Filters): ReadonlyArray<string> => {
  const { before, currency, customer, due, rows, status, stored } = filters
  const isGrouped = customer !== undefined || currency !== undefined || status !== undefined || due !== ""
  const spans = stored === "" ? [] : [span(filters)]
  if (!isGrouped && stored === "") {
    return [
      `page as (select i.position from invoice i where i.position < ${before} order by i.position desc limit ${rows})`
    ]
  }
  if (!isGrouped) {
    return [...spans, `page as ${positionsOf(filters, "")}`]
  }
  const ofCustomer = customer === undefined ? "" : `i.customer_id = ${customer} and`
  const statuses = status === undefined ? "('Pending'), ('Approved'), ('Rejected')" : `(${status})`
  return [
    ...spans,
    currency === undefined ? currencies(filters) : `currency(code) as (values (${currency}))`,
    `page as (
  select of_group.position
  from currency cross join (values ${statuses}) status(name)
  cross join lateral ${positionsOf(filters, `${ofCustomer} i.currency = currency.code and i.status = status.name and`)} of_group
  where currency.code is not null
  order by of_group.position desc limit ${rows}
)`
  ]
}

/** What a line adds to a page at most: 1,000 characters of up to six bytes in JSON, three numbers and the names. */
const lineBytes = 6_200
const lineBytesBesideText = 160
/** What an invoice adds beside its texts and lines. */
const invoiceBytes = 512

/**
 * Cuts the page where it would hold too many bytes. Sizes are only computed when the number of lines makes it possible
 * that the page is too large; no text of a line is put together for an invoice that is not on the page.
 */
const cut = (rows: string, bytes: string): string => `bounded as materialized (
  select page.position, i.id, i.bytes
  from page cross join lateral (
    select i.id, ${invoiceBytes} + 6 * octet_length(i.notes) + octet_length(i.violations::text) + ${lineBytes} * coalesce(
      (select max(l.line_no) + 1 from invoice_line l where l.invoice_id = i.id), 0) as bytes
    from invoice i where i.position = page.position offset 0
  ) i
), sized as (
  select id, position, count(*) over () as found, row_number() over newest as rank,
    sum(case when (select sum(bytes) from bounded) <= ${bytes} then 0 else (
      select ${invoiceBytes} + octet_length(to_json(i.notes)::text) + octet_length(i.violations::text) + coalesce(
        (select sum(${lineBytesBesideText} + octet_length(to_json(l.description)::text)) from invoice_line l where l.invoice_id = i.id), 0)
      from invoice i where i.id = bounded.id
    ) end) over newest as bytes
  from bounded window newest as (order by position desc)
)
select sized.found, ${columns}
from sized cross join lateral (select * from invoice i where i.id = sized.id offset 0) i
where sized.rank = 1 or (sized.rank < ${rows} and sized.bytes <= ${bytes})
order by sized.position desc`

export const statementOf = (query: ListQuery): Statement => {
  const values: Array<unknown> = []
  const bind = (value: unknown, type: string): string => {
    values.push(value)
    return `$${values.length}::${type}`
  }
  const filters = filtersOf(query, bind)
  const bytes = bind(BigInt(maxPageBytes), "bigint")
  return { text: `with recursive ${[...positions(filters), cut(filters.rows, bytes)].join(", ")}`, values }
}

const isCursor = (cursor: string): boolean => /^[1-9]\d{0,17}$/u.test(cursor)

/** No invoice has a customer that is no UUID, or a currency that there is not; Postgres may not even take such a text. */
const canMatch = ({ currency, customerId }: ListQuery): boolean =>
  (customerId === undefined || Invoice.parseId(customerId) !== undefined) &&
  (currency === undefined || Currency.get(currency) !== undefined)

export const list =
  (run: StoreQuery) =>
  (query: ListQuery): Effect.Effect<Page, InvalidCursor | StoreUnavailable> => {
    const { cursor } = query
    if (cursor !== undefined && !isCursor(cursor)) {
      return Effect.fail(new InvalidCursor({ cursor }))
    }
    if (!canMatch(query)) {
      return Effect.succeed({ items: [], next: Option.none() })
    }
    const { text, values } = statementOf(query)
    return Effect.map(run<InvoiceRow & { readonly found: bigint }>(text, values), (rows) => {
      const last = rows.at(-1)
      return {
        items: rows.map(toStored),
        next: last !== undefined && last.found > rows.length ? Option.some(String(last.position)) : Option.none()
      }
    })
  }
