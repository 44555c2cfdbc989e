import { columns, type Mutant, send } from "./Mutant.ts"

/** As in most home-made outboxes: an event that commits late with an early number is never read. */
export const highestNumber: Mutant = async ({ producer, sql }) => {
  let last = "0"
  return async () => {
    const rows = await sql.query(
      `select ${columns} from outbox_event where seq > $1::text::bigint order by seq limit 1000`,
      [last]
    )
    if (rows.length > 0) await send(producer, rows)
    last = String(rows.at(-1)?.["number"] ?? last)
    return rows.length
  }
}
