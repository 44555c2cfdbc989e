/** Writers, a database, relays and brokers: does every committed event arrive, in order, whatever happens? */
import type * as Expected from "../../faults/Expected.ts"
import * as Oracle from "../../faults/Oracle.ts"
import { Random } from "../../faults/Random.ts"
import { Coverage } from "../Coverage.ts"
import { Engine } from "../Engine.ts"
import { Brokers } from "../kafka/Brokers.ts"
import { breakLinks, cutOff, reconnect } from "../kafka/Client.ts"
import { Groups } from "../kafka/Groups.ts"
import type { Server } from "../postgres/Server.ts"
import type { Event } from "../postgres/Tables.ts"
import { isSet, numberOf, type Schedule, type Step, textOf } from "../Schedule.ts"
import * as Seams from "../Seams.ts"
import { withVirtualTimers } from "../VirtualTimers.ts"
import { healing, type Outcome, type RunOptions, type World } from "../World.ts"
import type { Alterations } from "./Alterations.ts"
import { countProgram, reasons } from "./Counting.ts"
import * as Course from "./Course.ts"
import { Database } from "./Database.ts"
import { Fencing } from "./Fencing.ts"
import * as Relay from "./Relay.ts"
import { draw, nodes, partitions, topics } from "./RelaySchedules.ts"

/** How long after the last harm every committed event must be published, in milliseconds. */
const bound = 30_000

const statements = Seams.statements()

class RelayWorld implements Course.Stage {
  readonly engine: Engine
  readonly coverage: Coverage
  readonly database: Database
  readonly server: Server
  readonly brokers: Brokers
  readonly groups: Groups
  readonly fencing = new Fencing(Seams.fencedTexts)
  readonly violations: Array<string> = []
  private readonly random: Random
  private readonly lanes: number
  private readonly relays: Array<Relay.Relay | undefined> = []
  /** All relays that were started. */
  private readonly programs: Array<Relay.Relay> = []
  private generations = 0
  /** The count of changes at the last check for completeness. */
  private changesSeen = -1
  readonly schedule: Schedule
  private readonly alterations: Alterations
  /** Keys that an operator has asked to replay, and the time since which each was parked. */
  private readonly asked = new Map<string, number>()

  constructor(schedule: Schedule, { account, alterations, coverage }: RunOptions<Alterations>) {
    this.schedule = schedule
    this.alterations = alterations ?? {}
    this.coverage = coverage ?? new Coverage()
    this.engine = new Engine({ account, calm: schedule.calm })
    this.random = new Random(schedule.seed)
    this.lanes = schedule.steps.some(({ what }) => what === "lanes") ? 2 : 1
    this.database = new Database({
      engine: this.engine,
      random: this.random,
      coverage: this.coverage,
      lanes: this.lanes,
      writing: (step) => ({
        key: textOf(step, "key"),
        topic: textOf(step, "topic"),
        payload: new Uint8Array(isSet(step, "large") ? 2_000 : 10),
        type: "simulated"
      })
    })
    this.server = this.database.server
    this.brokers = new Brokers(this.engine, this.random.fork("brokers"), nodes)
    this.groups = new Groups(this.engine, this.brokers)
    for (const topic of topics) this.brokers.create(topic, partitions)
    this.engine.describe = () => this.database.describe()
  }

  async run(): Promise<Outcome> {
    this.startRelay(0)
    await Course.enact(this, 100)
    this.heal()
    const { isComplete, recovery } = await Course.recover(this.engine, bound, () => this.isComplete())
    this.judge(isComplete)
    for (const relay of this.relays) relay?.process.kill()
    return { violations: this.violations, recovery, account: this.engine.account ?? [] }
  }

  private startRelay(slot: number): void {
    this.generations += 1
    const name = `relay-${slot}.${this.generations}`
    this.engine.note("world", () => `starts ${name}`)
    const relay = Relay.start(
      {
        engine: this.engine,
        random: this.random,
        server: this.server,
        statements: this.alterations.statements ?? statements,
        brokers: this.brokers,
        groups: this.groups,
        observer: this.fencing.observe,
        alterations: this.alterations
      },
      name,
      // with several lanes the relay asks the outbox for them
      this.lanes === 1 ? [0] : undefined
    )
    this.relays[slot] = relay
    this.programs.push(relay)
    this.database.clients[slot] = relay.connections
  }

  private relayOf(step: Step): Relay.Relay | undefined {
    return this.relays[numberOf(step, "program")] ?? this.relays[0]
  }

  private stopBroker(id: number, millis: number): void {
    const { brokers, engine, relays } = this
    const node = brokers.nodes[id]
    if (node?.isUp !== true || brokers.up.length === 1) return
    engine.note("world", () => `broker ${id} stops`)
    const { moves } = brokers
    brokers.stop(node)
    if (brokers.moves > moves) this.coverage.mattered("broker")
    for (const relay of relays) if (relay !== undefined) breakLinks(relay.network, id, "Closed connection")
    engine.after(millis, undefined, () => {
      if (!node.isUp) brokers.start(node)
    })
  }

  perform(step: Step): void {
    const { brokers, coverage, database, engine, fencing } = this
    const later = (run: () => void): void => {
      engine.after(numberOf(step, "millis"), undefined, run)
    }
    if (database.perform(step)) {
      if (database.isBehind) fencing.forget()
      return
    }
    const relay = this.relayOf(step)
    switch (step.what) {
      case "move": {
        const partition = brokers.partition(textOf(step, "topic"), numberOf(step, "partition"))
        const node = brokers.nodes[numberOf(step, "node")]
        if (partition !== undefined && node?.isUp === true) brokers.move(partition, node.id)
        return
      }
      case "broker": {
        this.stopBroker(numberOf(step, "node"), numberOf(step, "millis"))
        return
      }
      case "lose":
        relay?.network.losing.set(numberOf(step, "node"), {
          before: isSet(step, "before"),
          broken: () => {
            coverage.mattered("lose")
            if (isSet(step, "dies")) this.stopBroker(numberOf(step, "node"), numberOf(step, "millis"))
          }
        })
        return
      case "cut":
        if (relay === undefined) return
        cutOff(relay.network, step.with["node"] === undefined ? [0, 1, 2] : [numberOf(step, "node")])
        later(() => reconnect(relay.network))
        return
      case "deny":
        brokers.denied.add(textOf(step, "topic"))
        later(() => brokers.denied.delete(textOf(step, "topic")))
        return
      case "replay":
        this.replay(textOf(step, "key"))
        this.asked.clear()
        return
      case "stop":
        relay?.process.stop()
        later(() => relay?.process.goOn())
        return
      case "kill":
      case "end": {
        const slot = relay === this.relays[0] ? 0 : 1
        if (relay === undefined || relay.process.isDead) return
        if (fencing.holds(relay.process)) coverage.mattered(step.what)
        if (step.what === "kill") relay.process.kill()
        else relay.end()
        later(() => {
          if (this.relays[slot] === relay) this.startRelay(slot)
        })
        return
      }
      case "lanes":
        coverage.mattered("lanes")
        return
      case "second":
        if (this.relays[1] === undefined) this.startRelay(1)
        return
      default:
        throw new Error(`nobody knows how to ${step.what}`)
    }
  }

  /** Ends all harm: everything is up and reachable, and nothing is refused any more. */
  private heal(): void {
    const { brokers, database, engine } = this
    engine.note("world", () => healing)
    database.heal()
    for (const node of brokers.nodes) if (!node.isUp) brokers.start(node)
    brokers.denied.clear()
    brokers.maxBytes = Number.POSITIVE_INFINITY
    for (const relay of this.relays) {
      if (relay === undefined) continue
      relay.process.goOn()
      relay.network.losing.clear()
      reconnect(relay.network)
    }
    if (this.relays.every((relay) => relay === undefined || relay.process.isDead)) this.startRelay(0)
    this.replayAll()
  }

  /** An operator asks once for the replay of each parked key. */
  private replayAll(): void {
    for (const key of this.server.tables.parkedKeys.keys()) this.replay(key)
    this.engine.after(300, undefined, () => this.replayAll())
  }

  private replay(key: string): void {
    const { asked, engine, server } = this
    const cell = server.tables.parkedKeys.get(key)
    const row = cell?.committed
    if (!server.isUp || cell === undefined || row === undefined || cell.writer !== undefined) return
    if (row.replay || asked.get(key) === row.since) return
    asked.set(key, row.since)
    engine.note("operator", () => `asks to replay ${key}`)
    const transaction = server.begin()
    server.write(transaction, cell, { ...row, replay: true })
    server.commit(transaction, () => undefined)
  }

  private isComplete(): boolean {
    const { brokers, server } = this
    const changes = brokers.appends + server.changes
    if (changes === this.changesSeen) return false
    this.changesSeen = changes
    if (!server.isUp || !server.isQuiet) return false
    const published = new Set<string | undefined>()
    for (const partitions of brokers.topics.values()) {
      for (const { log } of partitions) for (const { headers } of log) published.add(headers["ce_id"])
    }
    return server.tables.events.every(({ id, writer }) => writer.state !== "committed" || published.has(id))
  }

  private published(): ReadonlyArray<Oracle.Published> {
    return [...this.brokers.topics.values()].flat().flatMap(({ id: partition, log, topic }) =>
      log.map(({ at, headers, key, offset, value }) => ({
        topic,
        partition,
        offset: BigInt(offset),
        id: headers["ce_id"] ?? "",
        key: key ?? "",
        value: latin1(value),
        headers,
        at
      }))
    )
  }

  /** Counts the harm that mattered. */
  private count(): void {
    const { brokers, coverage, fencing, programs } = this
    for (const [code, what] of reasons) {
      const count = brokers.errors.get(code) ?? 0
      if (count > 0) coverage.mattered(what, count)
    }
    for (const { connections, network, process } of programs) countProgram(coverage, process, connections, network)
    if (brokers.deduplicated > 0) coverage.mattered("records known to the broker", brokers.deduplicated)
    if (programs.some(({ process }) => process.name.startsWith("relay-1") && fencing.holders.has(process))) {
      coverage.mattered("second")
    }
  }

  private judge(isComplete: boolean): void {
    const { database, fencing, server, violations } = this
    const { isBehind } = database
    const committed = database.committed()
    const judgement = Oracle.judge(committed.map(expected), this.published())
    violations.push(...Oracle.broken(isBehind ? { ...judgement, invented: 0, inversions: 0 } : judgement))
    violations.push(...fencing.violations.slice(0, 1))
    if (!isComplete && judgement.lost === 0) violations.push(`stalled for ${bound} ms`)
    database.check(new Set(committed.map(({ id }) => id)))
    if (judgement.duplicates > 0 && this.schedule.steps.every(isHarmless)) {
      violations.push(`${judgement.duplicates} duplicates though nothing was harmed`)
    }
    this.count()
    if (server.reusedIds > 0) this.coverage.mattered("ids handed out again", server.reusedIds)
    this.coverage.mattered("take-overs", Math.max(0, fencing.acquisitions - 1))
    this.coverage.mattered("duplicates", judgement.duplicates)
    this.coverage.mattered("events", judgement.events)
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

const expected = (event: Event): Expected.Event => ({ ...event, value: latin1(event.payload), traceparent: undefined })

const harmless: ReadonlySet<string> = new Set(["write", "burn", "flush", "lanes"])

/** After such steps nothing is sent twice. A refused record is not harmless: others of its send may come again. */
const isHarmless = (step: Step): boolean => harmless.has(step.what) && !isSet(step, "large")

export const relayWorld: World<Alterations> = {
  name: "relay",
  draw,
  run: (schedule, options) => {
    const world = new RelayWorld(schedule, options)
    return withVirtualTimers(world.engine, new Random(schedule.seed), () => world.run())
  }
}
