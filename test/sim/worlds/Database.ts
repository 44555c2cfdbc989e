/** The database of a world: its server, its clients, its writers, and the harm that can be done to it. */
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

/** How many numbers a partition of the outbox holds. */
const partitionSize = 4

export class Database {
  readonly server: Server
  readonly writers: Writers
  /** The connections of each program, by the program's number in the schedule. */
  clients: Array<Connections | undefined> = []
  /** Committed events that all positions have passed and that are no longer kept. */
  readonly emptied: Array<Event> = []
  /** When each of them was emptied, by its id. */
  readonly emptiedAt = new Map<string, number>()
  /** Whether a standby that lacked commits took over: nothing is promised of these commits. */
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

  /** Performs a step; answers false when the step is not one of the database. */
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

  /** The events that were committed, without those lost with a replaced server. */
  committed(): ReadonlyArray<Event> {
    const kept = this.server.tables.events.filter(({ writer }) => writer.state === "committed")
    return this.emptied.length === 0 ? kept : [...this.emptied, ...kept]
  }

  /** Checks the model's own promise: a commit that was answered survives any crash. */
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

  /** Transactions of other applications, which take ids and are rolled back. */
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
   * Empties the partitions that the lanes' positions have passed, as `OutboxPartitions` does. First the position of
   * lane 0 is set as far as possible; nothing is emptied while a transaction still writes to one of the partitions.
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
    const until = Math.floor(newest.seq / partitionSize) * partitionSize
    const inFullPartitions = tables.events.filter(({ seq, writer }) => seq < until && writer.state !== "aborted")
    const isPassed = ({ writer, xid }: Event): boolean => writer.state === "committed" && xid < parse(lo).xmin
    if (inFullPartitions.length === 0 || !inFullPartitions.every(isPassed)) return
    const transaction = server.begin()
    server.write(transaction, cell, { ...cursor, lo })
    const state = tables.state.committed
    if (state !== undefined) {
      server.write(transaction, tables.state, {
        ...state,
        emptiedSeq: Math.max(state.emptiedSeq, until),
        emptiedXid: Math.max(state.emptiedXid, ...inFullPartitions.map(({ xid }) => xid))
      })
    }
    // truncated: the events are gone, whatever happens to the server later
    tables.events = tables.events.filter(({ seq }) => seq >= until)
    this.emptied.push(...inFullPartitions)
    for (const { id } of inFullPartitions) this.emptiedAt.set(id, this.parts.engine.now)
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
