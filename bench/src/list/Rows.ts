/** Many invoices for the benchmark of lists, written by Postgres itself. */
import type { Database } from "../pipeline/Database.ts"

/** 10 % of the invoices: never rejected, never in JPY, due in the first half of the year only. */
export const large = "00000000-0000-4000-8000-000000000001"
/** 5 %: stored in the first half of the year only. */
export const early = "00000000-0000-4000-8000-000000000002"
/** One of 10,000 customers that share the others. */
export const usual = "00000000-0000-4000-9000-000000000042"

/** How many invoices a statement writes. */
const chunk = 100_000

/**
 * Stored evenly over 2025, due 30 days before or after at most. Nine in ten are approved, every thirty-thousandth is
 * pending, and the others are rejected: never in SEK, and only in the first half of the year. NOK is used in the first
 * half only, and what is in CHF is due in the first half.
 */
const insert = `
with input as (
  select n, n::float8 / $3::bigint as part, (n / 10) % 10 as currency from generate_series($1::bigint, $2::bigint) n
), invoices as (
  select n, part,
    case when n % 10 = 0 then '${large}' when n % 10 = 1 and part < 0.5 then '${early}'
      else '00000000-0000-4000-9000-' || lpad((n * 7919 % 10000)::text, 12, '0') end::uuid as customer,
    case when currency = 3 and n % 10 = 0 or currency = 7 and part >= 0.5 then 'USD'
      else (array['USD', 'EUR', 'GBP', 'JPY', 'PLN', 'CHF', 'SEK', 'NOK', 'CZK', 'DKK'])[1 + currency] end as currency
  from input
), stored as (
  insert into invoice (id, customer_id, currency, amount, due_date, created_at, notes, status, version, stored_at)
  select gen_random_uuid(), customer, currency, 1050, to_char(
      timestamp '2025-01-01' + part * case when n % 10 = 0 or currency = 'CHF' then 180 else 365 end * interval '1 day'
        + (n * 7 % 60 - 30)::float8 * interval '1 day', 'YYYY-MM-DD"T00:00:00.000000000Z"'),
    '2025-06-01T15:04:05.000000000Z', 'Payment due within 30 days.',
    case when n % 30011 = 5 then 'Pending' when n % 10 = 3 and currency <> 'SEK' and part < 0.5 then 'Rejected'
      else 'Approved' end, 2, timestamptz '2025-01-01Z' + part * interval '365 days'
  from invoices order by n
  returning id
)
insert into invoice_line (invoice_id, line_no, description, quantity, unit_price, total)
select id, 0, 'Website Design', 1, 1050, 1050 from stored`

/** The indexes of lists are built afterwards, as for a database that there was before them. Answers their definitions. */
export const write = async ({ query }: Database, rows: number): Promise<ReadonlyArray<string>> => {
  const indexes = await query<{ indexname: string; indexdef: string }>(
    "select indexname, indexdef from pg_indexes where tablename = 'invoice' and indexname like 'invoice_list%'"
  )
  for (const { indexname } of indexes) await query(`drop index ${indexname}`)
  for (let first = 1; first <= rows; first += chunk) {
    await query(insert, [BigInt(first), BigInt(Math.min(rows, first + chunk - 1)), BigInt(rows)])
  }
  // as autovacuum does in its time
  for (const table of ["invoice", "invoice_line"]) await query(`vacuum analyze ${table}`)
  return indexes.map(({ indexdef }) => indexdef)
}
