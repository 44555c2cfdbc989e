/** The tables of the outbox and of the invoices, as far as the relay, the watches and the validator use them. */
import { Cell, type Transaction } from "./Transaction.ts"

/** A row of `outbox_event`: inserted once, never changed. */
export interface Event {
  readonly seq: number
  readonly xid: number
  readonly lane: number
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly ver: number
  readonly type: string
  readonly payload: Uint8Array
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly writer: Transaction
}

/** A row of `outbox_cursor`. */
export interface Cursor {
  readonly lo: string
  readonly hi: string | null
  readonly pos: number | null
  readonly epoch: number
  readonly owner: string | null
  /** By the database's clock, in milliseconds. */
  readonly leaseUntil: number | null
  readonly leaseMillis: number | null
}

export interface ParkedKey {
  readonly reason: string
  readonly since: number
  readonly replay: boolean
}

/** A row of `outbox_parked`. */
export type Parked = Omit<Event, "seq" | "xid" | "writer">

export interface OutboxState {
  readonly lanes: number
  readonly systemIdentifier: string
  readonly emptiedSeq: number
  readonly emptiedXid: number
}

/** An aggregate's row, which is locked before its event is written. */
export interface Aggregate {
  readonly version: number
  readonly status: string
}

export class Tables {
  /** In the order of `seq`. */
  events: Array<Event> = []
  readonly cursors = new Map<number, Cell<Cursor>>()
  readonly parkedKeys = new Map<string, Cell<ParkedKey>>()
  readonly parked = new Map<string, Cell<Parked>>()
  readonly aggregates = new Map<string, Cell<Aggregate>>()
  readonly state: Cell<OutboxState>

  constructor(lanes: number) {
    this.state = new Cell<OutboxState>({ lanes, systemIdentifier: "7", emptiedSeq: 0, emptiedXid: 0 })
    for (let lane = 0; lane < lanes; lane++) {
      this.cursors.set(
        lane,
        new Cell<Cursor>({
          lo: "3:3:",
          hi: null,
          pos: null,
          epoch: 0,
          owner: null,
          leaseUntil: null,
          leaseMillis: null
        })
      )
    }
  }

  /** Inserts an event in the order of `seq`: after a crash numbers may be lower than before it. */
  insert(event: Event): void {
    let index = this.events.length
    while (index > 0 && (this.events[index - 1]?.seq ?? 0) > event.seq) index -= 1
    this.events.splice(index, 0, event)
  }
}

/** The cell of a key; made without a row when there is none. */
export const cellOf = <A>(table: Map<string, Cell<A>>, key: string): Cell<A> => {
  const found = table.get(key)
  if (found !== undefined) return found
  const made = new Cell<A>()
  table.set(key, made)
  return made
}
