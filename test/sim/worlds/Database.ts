/** The database of a world, who is connected to it, who writes to it, and the harm that can be done to it. */
import { Lane } from "@invoice/core"
import type { Random } from "../../faults/Random.ts"
import type { Coverage } from "../Coverage.ts"
import type { Engine } from "../Engine.ts"
import type { Connections } from "../postgres/Connections.ts"
import { Server } from "../postgres/Server.ts"
import { format, parse } from "../postgres/Snapshot.ts"
import type { Event } from "../postgres/Tables.ts"
import { isSet, numberOf, type Step, textOf } from "../Schedule.ts"
import * as Seams from "../Seams.ts"
import { Writers, type Writing } from "./Writers.ts"

export interface Parts {
  readonly engine: Engine
  readonly random: Random
  readonly coverage: Coverage
  /** How many lanes the outbox has. */
  readonly lanes: number
  /** How a step that writes becomes an event. */
  readonly writing: (step: Step) => Pick<Writing, "key" | "payload" | "topic" | "type" | "status" | "committed">
}

/** How many numbers a leaf of the outbox holds. */
const leafSize = 4

export class Database {
  readonly server: Server
  readonly writers: Writers
  /** By the program that has them; the world harms them by number. */
  clients: Array<Connections | undefined> = []
  /** Events that were committed, passed by all positions, and are kept no longer. */
  readonly emptied: Array<Event> = []
  /** When each of them went, by its id. */
  readonly emptiedAt = new Map<string, number>()
  /** A standby that lacked something took over: nothing is promised of what it lacked. */
  isBehind = false
  private readonly parts: Parts

  constructor(parts: Parts) {
    this.parts = parts
    this.server = new Server(parts.engine, parts.random.fork("server"), {
      lanes: parts.lanes,
      firstXid: 1_000
    })
    this.writers = new Writers(parts.engine, this.server)
  }

  describe(): string {
    const { nextXid, unflushed } = this.server.position
    const positions = [...this.server.tables.cursors.values()].map(({ committed }) => committed?.lo)
    const snapshot = format(this.server.snapshot())
    return `next ${nextXid}, unflushed ${unflushed}, snapshot ${snapshot}, position ${positions.join(" / ")}`
  }

  /** Answers false when the step is none of the database's. */
  perform(step: Step): boolean {
    const { server } = this
    const client = this.clients[numberOf(step, "program")] ?? this.clients[0]
    switch (step.what) {
      case "write":
        this.write(step)
        return true
      case "burn":
        this.burn(numberOf(step, "ids"))
        return true
      case "flush":
        if (server.isUp) server.flush()
        return true
      case "crash":
      case "failover":
        this.goDown(step)
        return true
      case "clock":
        server.clockOffset += numberOf(step, "by")
        return true
      case "terminate":
        client?.terminate("terminating connection due to administrator command")
        return true
      case "half-open":
        client?.cutOff()
        this.parts.engine.after(numberOf(step, "millis"), undefined, () => client?.reconnect())
        return true
      case "empty":
        this.empty()
        return true
      case "read-only":
      case "disk-full":
        server.refusesWrites = step.what
        this.parts.engine.after(numberOf(step, "millis"), undefined, () => {
          if (server.refusesWrites === step.what) server.refusesWrites = undefined
        })
        return true
      default:
        return false
    }
  }

  heal(): void {
    if (!this.server.isUp) this.server.start()
    this.server.refusesWrites = undefined
    for (const client of this.clients) client?.reconnect()
  }

  /** What was committed, and not lost with a server that is replaced. */
  committed(): ReadonlyArray<Event> {
    const kept = this.server.tables.events.filter(({ writer }) => writer.state === "committed")
    return this.emptied.length === 0 ? kept : [...this.emptied, ...kept]
  }

  /** The model's own promise: a commit that was answered outlasts any crash. */
  check(kept: ReadonlySet<string>): void {
    if (this.isBehind) return
    for (const { committedAt, id } of this.writers.written.values()) {
      if (committedAt !== undefined && !kept.has(id)) throw new Error(`the model lost ${id}, which was committed`)
    }
  }

  private write(step: Step): void {
    const writing = this.parts.writing(step)
    this.writers.write({
      ...writing,
      id: `event-${textOf(step, "name")}`,
      lane: Lane.of(writing.key, this.parts.lanes),
      early: numberOf(step, "early"),
      hold: numberOf(step, "hold"),
      isRolledBack: isSet(step, "undone")
    })
  }

  /** Transactions of other applications: they take ids, and leave nothing. */
  private burn(ids: number): void {
    const { server } = this
    if (!server.isUp) return
    for (let count = ids; count > 0; count--) {
      const transaction = server.begin()
      server.assign(transaction)
      server.abort(transaction)
    }
  }

  /**
   * Empties the leaves that are behind the lanes' positions, as `Leaves` does: positions are as far as they can be, and a
   * leaf to which somebody still writes is left alone.
   */
  private empty(): void {
    const { server } = this
    const { tables } = server
    const cell = tables.cursors.get(0)
    const cursor = cell?.committed
    if (!server.isUp || cell === undefined || cursor === undefined || cell.writer !== undefined) return
    const lo = Seams.head(server)
    const newest = tables.events.at(-1)
    if (newest === undefined) return
    const until = Math.floor(newest.seq / leafSize) * leafSize
    const inLeaves = tables.events.filter(({ seq, writer }) => seq < until && writer.state !== "aborted")
    const isPassed = ({ writer, xid }: Event): boolean => writer.state === "committed" && xid < parse(lo).xmin
    if (inLeaves.length === 0 || !inLeaves.every(isPassed)) return
    const transaction = server.begin()
    server.write(transaction, cell, { ...cursor, lo })
    const state = tables.state.committed
    if (state !== undefined) {
      server.write(transaction, tables.state, {
        ...state,
        emptiedSeq: Math.max(state.emptiedSeq, until),
        emptiedXid: Math.max(state.emptiedXid, ...inLeaves.map(({ xid }) => xid))
      })
    }
    // truncated, and gone for good
    tables.events = tables.events.filter(({ seq }) => seq >= until)
    this.emptied.push(...inLeaves)
    for (const { id } of inLeaves) this.emptiedAt.set(id, server.clock - server.clockOffset)
    server.commit(transaction, () => undefined)
    server.flush()
    this.parts.coverage.mattered("empty")
  }

  private goDown(step: Step): void {
    const { server } = this
    const { coverage, engine } = this.parts
    if (!server.isUp) return
    if (server.position.unflushed > 0) coverage.mattered(step.what)
    const behind = numberOf(step, "behind")
    if (behind > 0) this.isBehind = true
    if (step.what === "crash") server.crash()
    else server.promote(behind)
    for (const client of this.clients) client?.terminate("terminating connection")
    engine.after(numberOf(step, "millis"), undefined, () => {
      if (!server.isUp) server.start(step.what === "failover")
    })
  }
}
