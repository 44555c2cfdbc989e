/**
 * Another application in the same database cluster: it takes transaction ids and rolls back, as fast as it can. After a
 * crash Postgres hands out the ids again that were taken since the last flush of the log.
 */

import { connect, type Session } from "../programs/Sql.ts"
import { until } from "../programs/Waiting.ts"
import type { Postgres } from "./Postgres.ts"

export interface Noise {
  /** Waits until that many more transactions are rolled back. */
  readonly more: (transactions: number) => Promise<void>
  /** Stops after the transactions in hand; also works when the server is gone. */
  readonly stop: () => Promise<void>
}

const sessions = 4

const rollBack = async (session: Session): Promise<void> => {
  await session.query("begin")
  await session.query("select pg_current_xact_id()::text")
  await session.query("rollback")
}

/** Rolls back this number of transactions. */
export const some = async (postgres: Postgres, transactions: number): Promise<void> => {
  const sql = connect(postgres.url("postgres"), 1, "faults-noise")
  try {
    const session = await sql.session()
    for (let count = 0; count < transactions; count++) await rollBack(session)
  } finally {
    await sql.close()
  }
}

export const make = (postgres: Postgres): Noise => {
  const sql = connect(postgres.url("postgres"), sessions, "faults-noise")
  let rolledBack = 0
  let stopping = false
  const loop = async (): Promise<void> => {
    const session = await sql.session()
    try {
      while (!stopping) {
        await rollBack(session)
        rolledBack += 1
      }
    } catch {
      // the server is gone, so the loop ends
    }
  }
  const loops = Array.from({ length: sessions }, loop)
  return {
    more: (transactions) => {
      const wanted = rolledBack + transactions
      return until(`${transactions} more rollbacks`, () => rolledBack >= wanted, { every: 2 })
    },
    stop: async () => {
      stopping = true
      await Promise.all(loops)
      await sql.close().catch(() => {})
    }
  }
}
