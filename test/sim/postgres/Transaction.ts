/** Transactions and what they write, as far as a crash, a lock or a snapshot can tell the difference. */

/** What has one version that all see, and at most one that a transaction is about to commit. */
export class Cell<A> {
  /** None: there is no such row. */
  committed: A | undefined
  pending: A | undefined
  /** Who holds the row's lock. */
  writer: Transaction | undefined
  /** Who waits for it, in order. */
  readonly waiters: Array<() => void> = []

  constructor(committed?: A) {
    this.committed = committed
  }

  /** What a transaction sees of it: its own version, else what is committed. */
  read(transaction: Transaction): A | undefined {
    return this.writer === transaction ? this.pending : this.committed
  }
}

export type State = "running" | "committing" | "committed" | "aborted"

export class Transaction {
  /** Assigned with the first write. */
  xid: number | undefined
  state: State = "running"
  /** Whether the log knows of it. */
  hasWritten = false
  readonly cells: Array<Cell<unknown>> = []
  /** What the cells held before, once it is committed. */
  readonly before: Array<unknown> = []
  /** Of its commit record. */
  lsn = 0
  /** `synchronous_commit`: whether its commit is seen only when it outlasts a crash. */
  isSynchronous = true

  /** All see what it wrote. */
  show(): void {
    this.state = "committed"
    for (const cell of this.cells) {
      this.before.push(cell.committed)
      cell.committed = cell.pending
    }
  }

  /** It never was. */
  undo(): void {
    this.state = "aborted"
    for (const [index, cell] of this.cells.entries()) cell.committed = this.before[index]
  }

  /** Lets go of its rows; answers who waited for them. */
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

/** Thrown within a statement: it goes on when the row is free. */
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
