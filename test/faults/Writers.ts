/**
 * Writers that are hard on an outbox: many connections on few keys, transaction ids that are taken long before the
 * first lock, transactions and savepoints that are rolled back, and transactions that are prepared and decided later.
 */

import { connect, reasonOf, type Sql } from "../programs/Sql.ts"
import { pause, until } from "../programs/Waiting.ts"
import { keyOf } from "./Ledger.ts"
import type { Random } from "./Random.ts"

export interface Options {
  readonly url: string
  readonly topic: string
  /** Instead of `topic`: each transaction picks one of them. */
  readonly topics?: ReadonlyArray<string>
  readonly random: Random
  /** Connections, default 16. */
  readonly writers?: number
  /** Default 40. */
  readonly keys?: number
  /** How many of the writers prepare their transactions and decide them later, default 0. */
  readonly preparing?: number
  /** Milliseconds between two transactions of a writer, default 30. */
  readonly restMillis?: number
}

export interface Writing {
  /** How many transactions were answered as committed. */
  readonly committed: () => number
  /** Waits until that many more transactions are committed. */
  readonly more: (transactions: number) => Promise<void>
  /** Finishes the transactions in hand. */
  readonly stop: () => Promise<void>
}

const meant = /rolled back on purpose/u

/** Picks some keys, in order, so that writers never deadlock. */
const keysOf = (random: Random, keys: number): ReadonlyArray<string> => {
  const some = Array.from({ length: random.chance(0.2) ? random.between(2, 4) : 1 }, () => random.between(0, keys - 1))
  return [...new Set(some)].toSorted((a, b) => a - b).map(keyOf)
}

const literal = (keys: ReadonlyArray<string>): string => `{${keys.join(",")}}`

const writeOnce = async (sql: Sql, random: Random, topic: string, keys: number): Promise<boolean> => {
  const undo = random.chance(0.05)
  const parameters = [
    topic,
    literal(keysOf(random, keys)),
    random.chance(0.5) ? random.next() * 0.03 : -1,
    random.chance(0.3) ? random.next() * 0.01 : 0,
    random.chance(0.2),
    random.chance(0.1),
    undo
  ]
  try {
    await sql.query(
      "select faults_write($1, $2::text::text[], $3::float8, $4::float8, $5::boolean, $6::boolean, $7::boolean)",
      parameters
    )
    return true
  } catch (error) {
    if (undo && meant.test(reasonOf(error))) return false
    throw error
  }
}

/** Decides a prepared transaction; tries until it succeeds, whatever happens to the server. */
const decide = async (sql: Sql, commit: boolean, name: string): Promise<void> => {
  for (;;) {
    try {
      const left = await sql.query("select from pg_prepared_xacts where gid = $1", [name])
      if (left.length === 0) return
      // no parameters: the statement can't run in a transaction block, as one with parameters would
      await sql.query(`${commit ? "commit" : "rollback"} prepared '${name}'`)
      return
    } catch {
      await pause(50)
    }
  }
}

const prepareOnce = async (sql: Sql, random: Random, topic: string, keys: number, name: string): Promise<boolean> => {
  const commit = random.chance(0.8)
  const [key = ""] = keysOf(random, keys)
  const session = await sql.session()
  let prepared = false
  try {
    await session.query("begin")
    await session.query("select faults_write($1, $2::text::text[], 0, 0, false, false, false)", [topic, literal([key])])
    prepared = true
    await session.query(`prepare transaction '${name}'`)
  } catch (error) {
    await session.query("rollback").catch(() => {})
    throw error
  } finally {
    await session.release()
    // meanwhile the key stays locked and its row invisible, while other transactions commit
    await pause(random.between(5, 60))
    if (prepared) await decide(sql, commit, name)
  }
  return commit
}

export const write = (options: Options): Writing => {
  const { random, topic, topics = [topic] } = options
  const writers = options.writers ?? 16
  const keys = options.keys ?? 40
  const preparing = options.preparing ?? 0
  const sql = connect(options.url, writers + preparing, "faults-writer")
  let committed = 0
  let stopping = false

  const loop = async (index: number): Promise<void> => {
    const own = random.fork(`writer ${index}`)
    for (let round = 0; !stopping; round++) {
      try {
        const done =
          index < preparing
            ? await prepareOnce(sql, own, own.pick(topics), keys, `${topic}-${index}-${round}`)
            : await writeOnce(sql, own, own.pick(topics), keys)
        if (done) committed += 1
        await pause(own.next() * 2 * (options.restMillis ?? 30))
      } catch {
        // the server is being harmed; the ledger has the transaction if it was committed
        await pause(50)
      }
    }
  }
  const loops = Array.from({ length: writers }, (_, index) => loop(index))

  return {
    committed: () => committed,
    more: (transactions) => {
      const wanted = committed + transactions
      return until(`${transactions} more transactions`, () => committed >= wanted, { every: 2 })
    },
    stop: async () => {
      stopping = true
      await Promise.all(loops)
      await sql.close()
    }
  }
}
