/**
 * A model of Postgres, as far as transaction ids, snapshots, locks, commits and crashes are concerned:
 *
 * - A transaction gets its id with its first write. `pg_current_snapshot()` is made of the running transactions and the
 *   newest id that has ended (`GetSnapshotData`).
 * - A commit is a record of the write-ahead log. A synchronous commit is visible only after the log is flushed up to it
 *   (`RecordTransactionCommit` comes before `ProcArrayEndTransaction`). An asynchronous commit is visible at once, and
 *   the WAL writer flushes it some time later.
 * - After a crash everything after the end of the flushed log is gone, even if it was visible before. The next id is
 *   the one after the highest in any record that is left (`AdvanceNextFullTransactionIdPastXid`): ids without a flushed
 *   record are handed out again.
 * - A sequence is not part of a transaction. It logs 32 numbers ahead, so it jumps at a crash, and never hands out a
 *   number again that a flushed record covers.
 */
import type { Random } from "../../faults/Random.ts"
import type { Engine } from "../Engine.ts"
import * as Latency from "../Latency.ts"
import type { Snapshot } from "./Snapshot.ts"
import { Tables } from "./Tables.ts"
import { type Cell, Locked, Transaction } from "./Transaction.ts"

interface Record {
  readonly lsn: number
  readonly xid: number
  /** The number after which the sequence continues, in a record of a sequence. */
  readonly sequence: number | undefined
}

export interface Options {
  readonly lanes: number
  readonly firstXid: number
  /** Whether the WAL writer flushes the log from time to time; default true. */
  readonly walWriter?: boolean
}

const sequenceAhead = 32
/** `wal_writer_delay` is 200 ms, and asynchronous commits are flushed within three of them. */
const walWriterMillis = 600

export class Server {
  readonly tables: Tables
  isUp = true
  /** Counts the starts: connections to an earlier start are dead. */
  incarnation = 1
  /** `pg_postmaster_start_time()` */
  startedAt = 0
  private standbys = 0
  /** How far the database's clock is ahead of the world's, in milliseconds. */
  clockOffset = Date.UTC(2026, 10, 25)
  /** Counts the transactions that have ended, and the starts. */
  changes = 0
  /** How many ids were handed out again. */
  reusedIds = 0
  /** The reason why writes are refused now, if they are; reads still work. */
  refusesWrites: string | undefined
  /** How many writes were refused, by the reason. */
  readonly refusedWrites = new Map<string, number>()
  private readonly engine: Engine
  private readonly random: Random
  private nextXid: number
  private highestXid: number
  private latestCompleted: number
  private readonly running = new Map<number, Transaction>()
  private lsn = 0
  private flushed = 0
  private readonly log: Array<Record> = []
  private readonly firstXid: number
  /** In the order in which they became visible. */
  private commits: Array<Transaction> = []
  private readonly committing: Array<{ readonly transaction: Transaction; readonly done: () => void }> = []
  private sequence = 0
  private sequenceLogged = 0
  private readonly walWriter: boolean
  private walWriterPlanned = false

  constructor(engine: Engine, random: Random, options: Options) {
    this.engine = engine
    this.random = random
    this.firstXid = options.firstXid
    this.walWriter = options.walWriter ?? true
    this.nextXid = options.firstXid
    this.highestXid = options.firstXid
    this.latestCompleted = options.firstXid - 1
    this.tables = new Tables(options.lanes)
  }

  /** `clock_timestamp()`, in milliseconds. */
  get clock(): number {
    return this.engine.now + this.clockOffset
  }

  /** For the account: the next transaction id, and how many records of the log are not flushed. */
  get position(): { readonly nextXid: number; readonly unflushed: number } {
    return { nextXid: this.nextXid, unflushed: this.lsn - this.flushed }
  }

  /** Whether no transaction that has written is open. */
  get isQuiet(): boolean {
    return this.running.size === 0
  }

  snapshot(own?: Transaction): Snapshot {
    const xmax = this.latestCompleted + 1
    const xip: Array<number> = []
    let xmin = xmax
    for (const [xid, transaction] of this.running) {
      if (xid >= xmax) continue
      if (xid < xmin) xmin = xid
      if (transaction !== own) xip.push(xid)
    }
    return { xmin, xmax, xip: xip.sort((a, b) => a - b) }
  }

  begin(): Transaction {
    return new Transaction()
  }

  /** `pg_current_xact_id()` */
  assign(transaction: Transaction): number {
    if (transaction.xid !== undefined) return transaction.xid
    const xid = this.nextXid++
    if (xid < this.highestXid) this.reusedIds += 1
    this.highestXid = Math.max(this.highestXid, this.nextXid)
    transaction.xid = xid
    this.running.set(xid, transaction)
    return xid
  }

  /** Locks a row; throws while another transaction has it. */
  lock<A>(transaction: Transaction, cell: Cell<A>): void {
    this.assign(transaction)
    if (cell.writer === transaction) return
    if (cell.writer !== undefined) throw new Locked(cell)
    cell.writer = transaction
    cell.pending = cell.committed
    transaction.cells.push(cell)
    this.record(transaction)
  }

  /** Writes a row that is locked. */
  write<A>(transaction: Transaction, cell: Cell<A>, value: A | undefined): void {
    this.lock(transaction, cell)
    cell.pending = value
    this.record(transaction)
  }

  /** `nextval('outbox_seq')` */
  nextval(transaction: Transaction): number {
    this.assign(transaction)
    this.sequence += 1
    if (this.sequence > this.sequenceLogged) {
      this.sequenceLogged = this.sequence + sequenceAhead
      this.record(transaction, this.sequenceLogged)
    }
    return this.sequence
  }

  /** Writes an event's row to the log and to the table, where it becomes visible with its transaction. */
  insertEvent(event: Parameters<Tables["insert"]>[0]): void {
    this.record(event.writer)
    this.tables.insert(event)
  }

  /** Calls `done` when the commit is visible; never when the server goes down before that. */
  commit(transaction: Transaction, done: () => void): void {
    const { xid } = transaction
    if (xid === undefined) {
      transaction.state = "committed"
      done()
      return
    }
    // a transaction that took an id and wrote nothing waits for no flush (`wrote_xlog` of `RecordTransactionCommit`)
    const isWaitedFor = transaction.isSynchronous && transaction.hasWritten
    transaction.lsn = this.record(transaction)
    if (!isWaitedFor) {
      this.show(transaction)
      done()
      return
    }
    transaction.state = "committing"
    this.committing.push({ transaction, done })
    const { incarnation } = this
    this.engine.after(Latency.flush(this.engine, this.random), undefined, () => {
      if (this.incarnation === incarnation && this.isUp) this.flush()
    })
  }

  abort(transaction: Transaction): void {
    const { xid } = transaction
    if (transaction.state !== "running") return
    transaction.state = "aborted"
    if (xid !== undefined) {
      this.record(transaction)
      this.over(xid)
    }
    this.wake(transaction)
  }

  /** Flushes the log: everything in it survives a crash, and the commits that waited for it become visible. */
  flush(): void {
    this.flushed = this.lsn
    for (const { done, transaction } of this.committing.splice(0)) {
      this.show(transaction)
      done()
    }
  }

  /** Immediate shutdown, or kill -9 of the postmaster: everything that was not flushed is gone. */
  crash(): void {
    this.recover(this.flushed)
  }

  /**
   * A standby takes over. It has the flushed log, except the last records when it is asynchronous and behind.
   *
   * @param behind how many records it lacks
   */
  promote(behind: number): void {
    this.standbys += 1
    this.flushed = Math.max(0, this.flushed - behind)
    this.recover(this.flushed)
  }

  /** @param standby whether it is a standby, which was running before its promotion */
  start(standby = false): void {
    this.isUp = true
    this.changes += 1
    this.startedAt = standby ? -1_000 * this.standbys : this.engine.now
  }

  private record(transaction: Transaction, sequence?: number): number {
    transaction.hasWritten = true
    this.lsn += 1
    this.log.push({ lsn: this.lsn, xid: this.assign(transaction), sequence })
    if (!this.walWriterPlanned && this.walWriter) {
      this.walWriterPlanned = true
      this.engine.after(this.random.next() * walWriterMillis, undefined, () => {
        this.walWriterPlanned = false
        if (this.isUp) this.flush()
      })
    }
    return this.lsn
  }

  private show(transaction: Transaction): void {
    transaction.show()
    this.commits.push(transaction)
    if (transaction.xid !== undefined) this.over(transaction.xid)
    this.wake(transaction)
  }

  private over(xid: number): void {
    this.changes += 1
    this.running.delete(xid)
    this.latestCompleted = Math.max(this.latestCompleted, xid)
  }

  private wake(transaction: Transaction): void {
    for (const waiter of transaction.unlock()) waiter()
  }

  private recover(end: number): void {
    this.isUp = false
    this.incarnation += 1
    while (this.log.length > 0 && (this.log.at(-1)?.lsn ?? 0) > end) this.log.pop()
    this.lsn = end
    // commits that were flushed and not visible yet are visible after the recovery
    for (const { transaction } of this.committing.splice(0)) {
      if (transaction.lsn > end) continue
      transaction.show()
      this.commits.push(transaction)
    }
    for (const lost of this.commits.filter(({ lsn }) => lsn > end).reverse()) lost.undo()
    this.commits = this.commits.filter(({ lsn }) => lsn <= end)
    for (const transaction of this.running.values()) {
      if (transaction.state !== "committed") transaction.state = "aborted"
      // its waiters are dropped: their connections are gone as well
      transaction.unlock()
    }
    this.running.clear()
    let highest = this.firstXid - 1
    this.sequence = 0
    for (const { sequence, xid } of this.log) {
      highest = Math.max(highest, xid)
      if (sequence !== undefined) this.sequence = sequence
    }
    this.sequenceLogged = this.sequence
    this.nextXid = highest + 1
    this.latestCompleted = highest
    this.tables.events = this.tables.events.filter(({ writer }) => writer.state === "committed")
  }
}
