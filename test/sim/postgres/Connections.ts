/**
 * A program's pool of connections, and the network to the server. The pool silently replaces an idle connection that
 * has died; on a connection in use, the statement under way fails.
 */
import { Effect } from "effect"
import { SqlError } from "effect/sql"
import * as Latency from "../Latency.ts"
import type { Process } from "../Process.ts"
import type { Server } from "./Server.ts"
import type { Statements } from "./Statements.ts"
import { Failed, Locked, type Transaction } from "./Transaction.ts"

export type Rows = ReadonlyArray<Readonly<Record<string, unknown>>>

type Outcome = { readonly rows: Rows } | { readonly error: SqlError.SqlError }

const lost = (message: string): Outcome => ({
  error: new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation: "execute" })
  })
})

const failed = (cause: Failed): Outcome => ({
  error: new SqlError.SqlError({
    reason: new SqlError.UnknownError({ cause, message: cause.message, operation: "execute" })
  })
})

interface Connection {
  readonly incarnation: number
  /** Closed by the server (`pg_terminate_backend`), or by the client. */
  isDead: boolean
  /** Statements are swallowed, and no answers come. */
  isHalfOpen: boolean
  isBusy: boolean
  /** Ends the statement under way. */
  fail: ((why: string) => void) | undefined
}

/** Called for every statement that was performed, when its writes are visible. */
export type Observer = (process: Process, text: string, parameters: ReadonlyArray<unknown>, rows: Rows) => void

export interface Options {
  readonly maxConnections: number
  readonly observer?: Observer
}

/** How long opening a connection may take, in milliseconds. */
const connectMillis = 5_000

export class Connections {
  /** How many dead idle connections were silently replaced. */
  replaced = 0
  /** How many statements failed because their connection broke. */
  broken = 0
  /** How many statements a half open connection has swallowed. */
  swallowed = 0
  private readonly server: Server
  private readonly statements: Statements
  private readonly process: Process
  private readonly options: Options
  private readonly connections = new Set<Connection>()
  private readonly waiting: Array<() => void> = []
  private readonly told = new Map<string, string>()
  private isCutOff = false

  constructor(server: Server, statements: Statements, process: Process, options: Options) {
    this.server = server
    this.statements = statements
    this.process = process
    this.options = options
  }

  /** Runs a statement in a transaction of its own. After `millis` it fails, as with a lost connection. */
  execute(text: string, parameters: ReadonlyArray<unknown>, millis: number): Effect.Effect<Rows, SqlError.SqlError> {
    const { engine } = this.process
    return Effect.callback<Rows, SqlError.SqlError>((resume) => {
      let connection: Connection | undefined
      let isOver = false
      const finish = (outcome: Outcome): void => {
        if (isOver) return
        isOver = true
        engine.cancel(deadline)
        if (connection !== undefined) this.giveBack(connection)
        resume("rows" in outcome ? Effect.succeed(outcome.rows) : Effect.fail(outcome.error))
      }
      /** Fails the statement and closes its connection. */
      const giveUp = (): void => {
        if (connection !== undefined) connection.isDead = true
        finish(lost(`no answer within ${millis} ms`))
      }
      const deadline = engine.after(millis, this.process, giveUp)
      const start = (): void => {
        if (isOver) {
          this.next()
          return
        }
        connection = this.take()
        if (connection === undefined) {
          if (this.connections.size < this.options.maxConnections) this.open(start, finish)
          else this.waiting.push(start)
          return
        }
        this.send(connection, text, parameters, finish)
      }
      start()
      return Effect.sync(giveUp)
    })
  }

  /** Makes all connections half open: statements get no answer, and new connections time out. */
  cutOff(): void {
    this.isCutOff = true
    for (const connection of this.connections) connection.isHalfOpen = true
  }

  /** Restores the network and resets the connections that were half open. */
  reconnect(): void {
    this.isCutOff = false
    for (const connection of this.connections) {
      if (!connection.isHalfOpen) continue
      connection.isDead = true
      connection.isHalfOpen = false
      connection.fail?.("Connection reset")
    }
  }

  /** Closes all connections, as `pg_terminate_backend` or the end of the server does. */
  terminate(why: string): void {
    for (const connection of this.connections) {
      connection.isDead = true
      // on a half open connection the client does not notice it
      if (!connection.isHalfOpen) this.answer(() => connection.fail?.(why))
    }
  }

  private take(): Connection | undefined {
    for (const connection of this.connections) {
      if (connection.isBusy) continue
      if (!connection.isHalfOpen && (connection.isDead || connection.incarnation !== this.server.incarnation)) {
        this.connections.delete(connection)
        this.replaced += 1
        continue
      }
      connection.isBusy = true
      return connection
    }
    return undefined
  }

  private giveBack(connection: Connection): void {
    connection.isBusy = false
    connection.fail = undefined
    if (connection.isDead) this.connections.delete(connection)
    this.next()
  }

  private next(): void {
    this.waiting.shift()?.()
  }

  private open(then: () => void, finish: (outcome: Outcome) => void): void {
    const { engine } = this.process
    const connection: Connection = {
      incarnation: this.server.incarnation,
      isDead: false,
      isHalfOpen: false,
      isBusy: true,
      fail: undefined
    }
    // it counts against the limit while it opens
    this.connections.add(connection)
    const give = (outcome: Outcome | undefined): void => {
      connection.isBusy = false
      if (outcome === undefined) {
        then()
        return
      }
      this.connections.delete(connection)
      finish(outcome)
      this.next()
    }
    if (this.isCutOff) {
      engine.after(connectMillis, this.process, () => give(lost("timed out while connecting")))
      return
    }
    this.answer(() => give(this.server.isUp ? undefined : lost("connection refused")))
  }

  private send(
    connection: Connection,
    text: string,
    parameters: ReadonlyArray<unknown>,
    finish: (outcome: Outcome) => void
  ): void {
    const { server } = this
    connection.fail = (why) => {
      this.broken += 1
      finish(lost(why))
    }
    if (connection.isHalfOpen) {
      this.swallowed += 1
      return
    }
    const reply = (outcome: Outcome): void => {
      if (connection.isHalfOpen) return
      this.answer(() => {
        if (!connection.isHalfOpen && connection.incarnation === server.incarnation) finish(outcome)
      })
    }
    // an event of the world, not of the process: a statement arrives even if its sender is dead by then
    this.process.engine.after(this.latency(), undefined, () => {
      if (connection.isHalfOpen) return
      if (connection.isDead || connection.incarnation !== server.incarnation || !server.isUp) {
        this.answer(() => connection.fail?.("the server closed the connection"))
        return
      }
      this.perform(server.begin(), text, parameters, reply)
    })
  }

  /** Performs a statement; waits while another transaction has locked a row that it needs. */
  private perform(
    transaction: Transaction,
    text: string,
    parameters: ReadonlyArray<unknown>,
    reply: (outcome: Outcome) => void
  ): void {
    const { process, server } = this
    try {
      const rows = this.statements.run(text, { server, transaction }, parameters)
      server.commit(transaction, () => {
        this.options.observer?.(process, text, parameters, rows)
        if (process.engine.account !== undefined) this.tell(text, parameters, rows)
        reply({ rows })
      })
    } catch (error) {
      if (error instanceof Locked) {
        error.cell.waiters.push(() => this.perform(transaction, text, parameters, reply))
      } else if (error instanceof Failed) {
        server.abort(transaction)
        reply(failed(error))
      } else {
        process.engine.failure = error
      }
    }
  }

  /** Notes a statement in the account, unless it repeats the last note on the same statement. */
  private tell(text: string, parameters: ReadonlyArray<unknown>, rows: Rows): void {
    const name = this.statements.nameOf(text)
    const given = parameters.filter((one) => typeof one === "string" || typeof one === "number").join(" ")
    const [first] = rows
    const count = rows.filter((row) => row["seq"] !== null).length
    const until = typeof first?.["hi"] === "string" ? ` until ${first["hi"]}` : ""
    const told = `${name} ${given.slice(0, 40)}: ${count} rows${until}`
    if (this.told.get(name) === told) return
    this.told.set(name, told)
    this.process.engine.note(this.process.name, () => told)
  }

  private answer(run: () => void): void {
    this.process.engine.after(this.latency(), this.process, run)
  }

  private latency(): number {
    return Latency.database(this.process.engine, this.process.random)
  }
}
