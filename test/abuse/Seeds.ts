/** Rows that a scene needs many of, written by statements: one by one through the program would take minutes. */
import { randomUUID } from "node:crypto"
import type { Sql } from "../programs/Sql.ts"
import * as Messages from "./Messages.ts"
import type { Stage } from "./Scene.ts"
import * as Sessions from "./Sessions.ts"

/** Creates an invoice of nearly the greatest size through the program. Answers its id. */
export const hugeInvoice = async (stage: Stage, description = "d".repeat(1_000)): Promise<string> => {
  const id = randomUUID()
  const session = await Sessions.open(stage)
  const answer = await Sessions.ask(stage, session, `${Messages.service}/Create`, {
    bytes: Messages.framed(Messages.create({ id, lines: 990, description, amount: "9900" })),
    seconds: 30
  })
  session.destroy()
  if (answer !== "grpc 0") throw new Error(`the program takes no invoice of 1 MB: ${answer}`)
  return id
}

/** The columns that a statement may write, besides the given ones. */
const columnsOf = async (sql: Sql, table: string, besides: ReadonlyArray<string>): Promise<string> => {
  const rows = await sql.query(
    `select column_name as name from information_schema.columns
     where table_schema = 'public' and table_name = $1 and is_identity = 'NO' and is_generated = 'NEVER'`,
    [table]
  )
  return rows
    .map(({ name }) => String(name))
    .filter((name) => !besides.includes(name))
    .join(", ")
}

/** Copies an invoice so many times, under new ids. */
export const cloneInvoice = async (sql: Sql, id: string, count: number): Promise<void> => {
  const clones = `unnest($2::text[]::uuid[]) as clone (clone_id)`
  const ids = `{${Array.from({ length: count }, () => randomUUID()).join(",")}}`
  for (const [table, key] of [
    ["invoice", "id"],
    ["invoice_line", "invoice_id"],
    ["invoice_history", "invoice_id"]
  ] as const) {
    const columns = await columnsOf(sql, table, [key])
    await sql.query(
      `insert into ${table} (${key}, ${columns}) select clone_id, ${columns} from ${table}, ${clones} where ${key} = $1::text::uuid`,
      [id, ids]
    )
  }
}

/** Writes so many events of new invoices, which a watch tells. */
export const createdEvents = async (sql: Sql, count: number): Promise<void> => {
  await sql.query(
    `insert into outbox_event (lane, topic, key, ver, type, payload, headers)
     select 0, 'new_invoice', id::text, 1, 'invoice.created', convert_to('{"id":"' || id || '"}', 'UTF8'), '{}'
     from (select gen_random_uuid() as id from generate_series(1, $1::int)) invoices`,
    [count]
  )
}

/** Writes so many verdicts with 1,000 violations each, about 200 kB. */
export const hugeVerdicts = async (sql: Sql, count: number): Promise<void> => {
  const violations = Array.from({ length: 1_000 }, (_, index) => ({
    code: "INV-LINE-TOTAL",
    severity: "error",
    path: `/items/${index}/total`,
    message: "the line's total is not quantity × unit price, rounded to the currency's decimals",
    expected: "10.00",
    actual: "12.00"
  }))
  await sql.query(
    `insert into outbox_event (lane, topic, key, ver, type, payload, headers)
     select 0, 'invoice_rejected', id::text, 2, 'invoice.rejected',
       convert_to('{"id":"' || id || '","status":"Rejected","version":2,"violations":' || $2 || '}', 'UTF8'), '{}'
     from (select gen_random_uuid() as id from generate_series(1, $1::int)) invoices`,
    [count, JSON.stringify(violations)]
  )
}
