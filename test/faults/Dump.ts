/**
 * A logical dump, restored into another cluster: every row of every table as text, the values of sequences, and the
 * outbox' partitions with their bounds. It stands in for `pg_dump`, which no npm package has for this version of
 * Postgres.
 */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { Sql } from "../programs/Sql.ts"

const tables = `select oid::regclass::text as name, pg_get_expr(relpartbound, oid) as bound
  from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname`

const sequences =
  "select sequencename as name, last_value::text as value from pg_sequences where last_value is not null"

/**
 * @param target has the same schema
 * @param directory where both servers may write, since they run as the same user
 */
export const restore = async (source: Sql, target: Sql, directory: string): Promise<void> => {
  const [reader, writer] = [await source.session(), await target.session()]
  const path = (name: string): string => join(directory, `${name}.copy`)
  try {
    await reader.query("begin isolation level repeatable read")
    await writer.query("begin")
    // without constraints and triggers, as `pg_restore` does it: they ran when the rows were first written
    await writer.query("set local session_replication_role = replica")
    const there = await writer.query(tables)
    const namesOf = (partitions: boolean): string =>
      there.flatMap(({ bound, name }) => ((bound !== null) === partitions ? [String(name)] : [])).join(", ")
    await writer.query(`drop table ${namesOf(true)}`)
    await writer.query(`truncate ${namesOf(false)}`)
    for (const { bound, name } of await reader.query(tables)) {
      if (bound !== null) await writer.query(`create table ${name} partition of outbox_event ${bound}`)
      await reader.query(`copy ${name} to '${path(String(name))}'`)
      await writer.query(`copy ${name} from '${path(String(name))}'`)
      await rm(path(String(name)))
    }
    for (const { name, value } of await reader.query(sequences)) {
      await writer.query(`select setval('${name}', ${value})`)
    }
    await writer.query("commit")
    await reader.query("commit")
  } finally {
    await reader.release()
    await writer.release()
  }
}
