import { columns, type Mutant, send } from "./Mutant.ts"

/** A queue from which any number of relays take: two of them send events of one key at the same time. */
export const skipLocked: Mutant = async ({ producer, sql }) => {
  const session = await sql.session()
  return async () => {
    await session.query("begin")
    const rows = await session.query(
      `with taken as (select seq from outbox_event order by seq limit 20 for update skip locked),
        gone as (delete from outbox_event using taken where outbox_event.seq = taken.seq returning outbox_event.*)
      select ${columns} from gone order by seq`
    )
    if (rows.length > 0) await send(producer, rows)
    await session.query("commit")
    return rows.length
  }
}
