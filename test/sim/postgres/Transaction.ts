/** Transactions and the rows that they write, as far as crashes, locks and snapshots need them. */

/** A row with one committed version, and at most one version that a transaction is about to commit. */
export class Cell<A> {
  /** Undefined when there is no such row. */
  committed: A | undefined
  pending: A | undefined
  /** The transaction that holds the row's lock. */
  writer: Transaction | undefined
  /** Continues the transactions that wait for the lock, in order. */
  readonly waiters: Array<() => void> = []

  constructor(committed?: A) {
    this.committed = committed
  }

  /** What a transaction sees: its own version, else the committed one. */
  read(transaction: Transaction): A | undefined {
    return this.writer === transaction ? this.pending : this.committed
  }
}

export type State = "running" | "committing" | "committed" | "aborted"

export class Transaction {
  /** Assigned with the first write. */
  xid: number | undefined
  state: State = "running"
  /** Whether the log has a record of it. */
  hasWritten = false
  readonly cells: Array<Cell<unknown>> = []
  /** The cells' versions before this transaction, once it is committed. */
  readonly before: Array<unknown> = []
  /** The position of its commit record in the log. */
  lsn = 0
  /** `synchronous_commit`: whether its commit is visible only when it survives a crash. */
  isSynchronous = true

  /** Makes its writes visible. */
  show(): void {
    this.state = "committed"
    for (const cell of this.cells) {
      this.before.push(cell.committed)
      cell.committed = cell.pending
    }
  }

  /** Undoes its writes, when a crash has lost its commit. */
  undo(): void {
    this.state = "aborted"
    for (const [index, cell] of this.cells.entries()) cell.committed = this.before[index]
  }

  /** Releases its row locks; answers the waiters for them. */
  unlock(): ReadonlyArray<() => void> {
    const waiters: Array<() => void> = []
    for (const cell of this.cells) {
      if (cell.writer !== this) continue
      cell.writer = undefined
      cell.pending = undefined
      waiters.push(...cell.waiters.splice(0))
    }
    return waiters
  }
}

/** Thrown within a statement that needs a locked row: it runs again when the row is free. */
export class Locked extends Error {
  readonly cell: Cell<unknown>

  constructor(cell: Cell<unknown>) {
    super("the row is locked")
    this.cell = cell
  }
}

/** Thrown within a statement: the server refuses it, and rolls its transaction back. */
export class Failed extends Error {
  readonly kind: "unavailable" | "retryable" | "permanent"

  constructor(kind: Failed["kind"], message: string) {
    super(message)
    this.kind = kind
  }
}
