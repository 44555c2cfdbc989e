/** Transactions that write events as the store does: the aggregate's row is locked before the event takes a number. */
import type { Engine } from "../Engine.ts"
import type { Server } from "../postgres/Server.ts"
import { cellOf } from "../postgres/Tables.ts"
import { Locked, type Transaction } from "../postgres/Transaction.ts"

export interface Writing {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly payload: Uint8Array
  readonly type: string
  readonly lane: number
  /** Milliseconds between taking a transaction id and the first lock; none when negative. */
  readonly early: number
  /** Milliseconds between the event and the commit. */
  readonly hold: number
  readonly isRolledBack: boolean
  /** The status of the aggregate after the write. */
  readonly status?: string
  /** Called when the commit is answered. */
  readonly committed?: () => void
}

/** An event that a writer has written, and its commit. */
export interface Written extends Writing {
  readonly ver: number
  /** When its commit was answered; undefined when it never was. */
  committedAt: number | undefined
  readonly transaction: Transaction
}

export class Writers {
  /** By the event's id. */
  readonly written = new Map<string, Written>()
  private readonly engine: Engine
  private readonly server: Server

  constructor(engine: Engine, server: Server) {
    this.engine = engine
    this.server = server
  }

  write(writing: Writing): void {
    const { engine, server } = this
    if (!server.isUp) return
    const { incarnation } = server
    const transaction = server.begin()
    /** Continues after `millis`, unless the server has crashed meanwhile. */
    const then = (millis: number, run: () => void): void => {
      engine.after(millis, undefined, () => {
        if (server.incarnation === incarnation && server.isUp) run()
      })
    }
    if (writing.early >= 0) server.assign(transaction)
    then(Math.max(0, writing.early), () => this.insert(transaction, writing, then))
  }

  private insert(transaction: Transaction, writing: Writing, then: (millis: number, run: () => void) => void): void {
    const { engine, server } = this
    const cell = cellOf(server.tables.aggregates, writing.key)
    try {
      server.lock(transaction, cell)
    } catch (error) {
      if (!(error instanceof Locked)) throw error
      cell.waiters.push(() => then(0, () => this.insert(transaction, writing, then)))
      return
    }
    const ver = (cell.read(transaction)?.version ?? 0) + 1
    server.write(transaction, cell, { version: ver, status: writing.status ?? "" })
    const { id, key, lane, payload, topic, type } = writing
    const seq = server.nextval(transaction)
    const xid = server.assign(transaction)
    server.insertEvent({ seq, xid, lane, id, topic, key, ver, type, payload, at: server.clock, writer: transaction })
    const written: Written = { ...writing, ver, committedAt: undefined, transaction }
    this.written.set(id, written)
    engine.note("writer", () => `inserts ${id} (${topic} ${key} version ${ver}) as ${xid}, number ${seq}`)
    then(writing.hold, () => {
      if (writing.isRolledBack) {
        server.abort(transaction)
        engine.note("writer", () => `rolls ${id} back`)
        return
      }
      server.commit(transaction, () => {
        written.committedAt = engine.now
        engine.note("writer", () => `has committed ${id}`)
        writing.committed?.()
      })
    })
  }
}
