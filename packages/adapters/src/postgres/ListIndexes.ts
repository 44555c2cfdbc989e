/**
 * The indexes of lists. A migration runs in one transaction, where an index can only be built while nobody writes to
 * its table. So they are built after the migrations, concurrently: a running system goes on creating and judging.
 */
import { Effect, Schedule } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"

/** The block of a position: 16,384 invoices that were stored after one another. */
export const blockOf = (position: string): string => `(${position} >> 14)`

/**
 * What each index begins with is given by the filters of a list, or is gone through (`ListInvoices`). They include what
 * else is compared, so that no invoice is read which isn't listed.
 *
 * Three, not one for each pair of filters: each costs a create about 7 µs of a core, and a verdict as much, since an
 * update of an indexed column (the status) writes to every index of the table.
 */
const indexes: Readonly<Record<string, string>> = {
  invoice_list: `(currency, status, ${blockOf("position")}, due_date, position) include (stored_at)`,
  invoice_list_customer: `(customer_id, currency, status, ${blockOf("position")}, due_date, position) include (stored_at)`,
  invoice_list_stored: `(${blockOf("position")}, stored_at, position)`
}

/** Below this size of the table an index is built at once: that locks writers out for less than half a second. */
const smallBytes = 33_554_432

const isValid = "select indisvalid as valid from pg_index where indexrelid = to_regclass($1)"
const isSmall = "select pg_relation_size('invoice') < $1::bigint as small"

/** How often a program looks whether another one has built the indexes. */
const pollMillis = 200

type Connection = Effect.Success<SqlClient.SqlClient["reserve"]>

const build = Effect.fnUntraced(function* (connection: Connection, name: string, definition: string) {
  const [index] = yield* connection.execute(isValid, [name], undefined)
  if (index?.valid === true) return
  const [table] = yield* connection.execute(isSmall, [BigInt(smallBytes)], undefined)
  const concurrently = table?.small === true ? "" : "concurrently"
  yield* connection.executeRaw(`drop index ${concurrently} if exists ${name}`, [])
  yield* connection.executeRaw(`create index ${concurrently} ${name} on invoice ${definition}`, [])
})

/**
 * Builds the indexes that are missing, one program at a time. What an interrupted build left behind is built anew. A
 * concurrent build waits for the transactions that are open when it begins, so it asks for the lock again and again:
 * to wait for it would be such a transaction, and both would wait for ever.
 */
export const ensure: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.scoped(
  Effect.gen(function* () {
    const connection = yield* (yield* SqlClient.SqlClient).reserve
    const lock = `pg_try_advisory_lock(${AdvisoryLocks.listIndexes})`
    yield* connection
      .execute(`select ${lock} as held`, [], undefined)
      .pipe(Effect.repeat({ until: ([row]) => row?.held === true, schedule: Schedule.spaced(pollMillis) }))
    yield* Effect.forEach(Object.entries(indexes), ([name, definition]) => build(connection, name, definition), {
      discard: true
    }).pipe(
      Effect.ensuring(
        Effect.ignore(connection.execute(`select pg_advisory_unlock(${AdvisoryLocks.listIndexes})`, [], undefined))
      )
    )
  })
)
