import { columns, type Mutant, send } from "./Mutant.ts"

/** The strategy of Watermill and emmett: nothing is lost, but transaction ids are not in the order of commits. */
export const transactionOrder: Mutant = async ({ producer, sql }) => {
  let last = { xid: "0", seq: "0" }
  return async () => {
    const rows = await sql.query(
      `select xid::text as transaction, ${columns} from outbox_event
      where (xid, seq) > ($1::text::xid8, $2::text::bigint) and xid < pg_snapshot_xmin(pg_current_snapshot())
      order by xid, seq limit 1000`,
      [last.xid, last.seq]
    )
    if (rows.length > 0) await send(producer, rows)
    const end = rows.at(-1)
    if (end !== undefined) last = { xid: String(end["transaction"]), seq: String(end["number"]) }
    return rows.length
  }
}
