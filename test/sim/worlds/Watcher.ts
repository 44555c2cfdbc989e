/** A client that watches and resumes after the last change that it has seen; and the changes that it must see. */
import type { Invoices } from "@invoice/core"
import type { Change } from "@invoice/core/ports/InvoiceStore"
import { Cause, Effect, Exit, type Fiber, Option, Stream } from "effect"
import type { Engine } from "../Engine.ts"
import type { Process } from "../Process.ts"
import type { Event } from "../postgres/Tables.ts"

type WatchStart = Parameters<Invoices["Service"]["watch"]>[0]

const retryMillis = 50

const nameOf = ({ id, version }: { readonly id: string; readonly version: number }): string => `${id} ${version}`

interface Connection {
  readonly process: Process
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

export class Watcher {
  readonly name: string
  /** In the order in which the client saw them. */
  readonly seen: Array<Pick<Change, "id" | "version">> = []
  /** When it got its first element: all changes after that are promised. */
  firstAt: number | undefined
  /** Grows with each change that it sees and with each end of a watch. */
  changes = 0
  /** The error that ended its watch for good, if one did. */
  ended: string | undefined
  /** Whether nothing is promised any more, since a standby that lacked commits has taken over. */
  isExcused = false
  private readonly engine: Engine
  private readonly from: "now" | "beginning"
  private cursor: string | undefined
  private connection: Connection | undefined
  private isAway = false

  constructor(engine: Engine, name: string, from: "now" | "beginning") {
    this.engine = engine
    this.name = name
    this.from = from
  }

  /** Begins or resumes the watch, at the program that serves now. */
  connect(serving: () => { readonly process: Process; readonly invoices: Invoices["Service"] } | undefined): void {
    if (this.ended !== undefined || this.isAway) return
    const again = (): void => {
      this.engine.after(retryMillis, undefined, () => this.connect(serving))
    }
    const server = serving()
    if (server === undefined) {
      again()
      return
    }
    const { invoices, process } = server
    if (this.connection?.process === process) return
    const start: WatchStart = this.cursor === undefined ? this.from : { cursor: this.cursor }
    const watching = Stream.runForEach(invoices.watch(start), ({ change, cursor }) =>
      Effect.sync(() => {
        this.firstAt ??= this.engine.now
        this.cursor = cursor
        if (Option.isSome(change)) {
          this.changes += 1
          this.seen.push(change.value)
          this.engine.note(this.name, () => `sees ${nameOf(change.value)}`)
        }
      })
    )
    const connection: Connection = { process, fiber: undefined }
    // set before the watch begins, since the watch may end at once
    this.connection = connection
    connection.fiber = process.fork(
      Effect.onExit(watching, (exit) =>
        Effect.sync(() => {
          if (this.connection === connection) this.connection = undefined
          this.changes += 1
          if (Exit.isSuccess(exit)) return
          const failure = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (failure === undefined) return
          this.engine.note(this.name, () => `is told ${failure._tag}`)
          if (failure._tag === "StoreUnavailable") again()
          else this.ended = failure._tag
        })
      )
    )
  }

  /** The program that served the watch is gone. */
  disconnected(): void {
    this.connection = undefined
  }

  /** Disconnects, and calls `back` after `millis`. */
  leave(millis: number, back: () => void): void {
    if (this.isAway) return
    this.isAway = true
    const { connection } = this
    this.connection = undefined
    connection?.process.fork(Effect.sync(() => connection.fiber?.interruptUnsafe()))
    this.engine.after(millis, undefined, () => {
      this.isAway = false
      back()
    })
  }

  /** The committed events that it must have seen and has not. */
  missing(committed: ReadonlyArray<Committed>): ReadonlyArray<Event> {
    const seen = new Set(this.seen.map(nameOf))
    return committed.filter(
      (event) => this.isPromised(event) && !seen.has(nameOf({ id: event.key, version: event.ver }))
    )
  }

  /** From the beginning: events that were kept when it began. From now: events committed after its first element. */
  private isPromised({ committedAt, emptiedAt }: Committed): boolean {
    const { firstAt, from } = this
    if (from === "now") return firstAt !== undefined && committedAt !== undefined && committedAt > firstAt
    return emptiedAt === undefined || (firstAt !== undefined && emptiedAt > firstAt)
  }

  /** What is wrong with what it saw: changes twice, out of order, or never committed. */
  wrong(committed: ReadonlySet<string>): ReadonlyArray<string> {
    const versions = new Map<string, number>()
    const wrong: Array<string> = []
    for (const { id, version } of this.seen) {
      const before = versions.get(id)
      if (!committed.has(nameOf({ id, version }))) wrong.push("saw a change that was never committed")
      if (before !== undefined && version <= before) wrong.push("saw a change twice or too late")
      if (before !== undefined && version > before + 1) wrong.push("saw a change before an earlier one")
      versions.set(id, Math.max(before ?? 0, version))
    }
    return wrong
  }
}

/** An event, when its commit was answered, and when the outbox was emptied of it. */
export interface Committed extends Event {
  readonly committedAt: number | undefined
  readonly emptiedAt: number | undefined
}

export const nameOfEvent = ({ key, ver }: Event): string => nameOf({ id: key, version: ver })
