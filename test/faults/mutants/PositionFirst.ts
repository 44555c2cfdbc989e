import { columns, type Mutant, send } from "./Mutant.ts"

/**
 * Reads as our relay does, but stores its position before the broker has answered: the events in hand when it dies are
 * never sent.
 */
export const positionFirst: Mutant = async ({ producer, sql }) => {
  const [row] = await sql.query("select lo::text as lo from outbox_cursor where lane = 0")
  let lo = String(row?.["lo"])
  return async () => {
    const rows = await sql.query(
      `select pg_current_snapshot()::text as hi, e.* from (select 1) one left join lateral (
        select ${columns} from outbox_event where not pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
      ) e on true order by e.number::bigint`,
      [lo]
    )
    lo = String(rows[0]?.["hi"] ?? lo)
    await sql.query("update outbox_cursor set lo = $1::text::pg_snapshot where lane = 0", [lo])
    const events = rows.filter(({ number }) => number !== null)
    if (events.length > 0) await send(producer, events)
    return events.length
  }
}
