/**
 * Room for the indexes of lists, which `ListIndexes` builds after the migrations.
 *
 * The foreign keys to `invoice` go: each row of a line or of a history took a look-up and a lock of its invoice, 45 µs
 * of a core for a create with two lines, twice what the indexes cost. Lines and history are written by the statement
 * that writes their invoice, and from its rows, so nothing else can refer to an invoice that is not there.
 *
 * It takes milliseconds whatever the number of invoices, under a lock that waits for open transactions. The indexes
 * are built concurrently, so no writer waits. For 1,000,000 invoices that took 43 s on two cores that were busy with other
 * work, and takes 240 MB; the program that migrates starts when they are there.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const statements = [
  "alter table invoice_line drop constraint if exists invoice_line_invoice_id_fkey",
  "alter table invoice_history drop constraint if exists invoice_history_invoice_id_fkey"
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) {
    yield* sql.unsafe(statement)
  }
})
