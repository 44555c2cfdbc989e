/** Invoices, the topic of new invoices, and validators: does every invoice get one verdict, and the right one? */
import { type Invoice, InvoiceEvent, InvoiceParser, Lane, Profile } from "@invoice/core"
import { Result } from "effect"
import { Random } from "../../faults/Random.ts"
import { Coverage } from "../Coverage.ts"
import { Engine } from "../Engine.ts"
import { Brokers, type Stored } from "../kafka/Brokers.ts"
import { breakLinks, cutOff, reconnect } from "../kafka/Client.ts"
import { Groups } from "../kafka/Groups.ts"
import { isSet, numberOf, type Schedule, type Step, textOf } from "../Schedule.ts"
import { withVirtualTimers } from "../VirtualTimers.ts"
import { healing, type Outcome, type RunOptions, type World } from "../World.ts"
import type { Alterations } from "./Alterations.ts"
import { draw, nodes, partitions } from "./ConsumerSchedules.ts"
import { countProgram, reasons } from "./Counting.ts"
import * as Course from "./Course.ts"
import { Database } from "./Database.ts"
import * as ModelStore from "./ModelStore.ts"
import * as Validator from "./Validator.ts"

/** How long after the last harm all messages must be settled, in milliseconds. */
const bound = 10_000

const topic = InvoiceEvent.topics.Pending
const deadLetters = `${topic}.dlq`

const template = (amount: string): Invoice.Invoice =>
  Result.getOrThrow(
    InvoiceParser.parse({
      id: "00000000-0000-4000-8000-000000000000",
      customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
      amount,
      currency: "EUR",
      items: [{ description: "work", quantity: "1", unit_price: "10.00", total: "10.00" }]
    })
  )

const right = template("10.00")
const wrong = template("10.01")

const idOf = (name: string): Invoice.InvoiceId =>
  `00000000-0000-4000-8000-${name.padStart(12, "0")}` as Invoice.InvoiceId

const encoder = new TextEncoder()
const decoder = new TextDecoder()

class ConsumerWorld implements Course.Stage {
  readonly engine: Engine
  readonly coverage: Coverage
  private readonly database: Database
  private readonly brokers: Brokers
  private readonly groups: Groups
  private readonly random: Random
  readonly schedule: Schedule
  private readonly alterations: Alterations
  private readonly invoices = new Map<string, Invoice.Invoice>()
  private readonly refused = new Set<string>()
  private readonly contents: ModelStore.Contents
  private readonly parts: Validator.Parts
  private readonly validators: Array<Validator.Validator | undefined> = []
  /** Keys of messages that must become dead letters: garbage, and ids of no invoice. */
  private readonly unhandleable = new Set<string>()
  /** All validators that were started. */
  private readonly programs: Array<Validator.Validator> = []
  private generations = 0
  private isHealed = false
  /** How many statements the schedule lets fail because of a conflicting transaction. */
  private conflicts = 0
  private changesSeen = -1

  constructor(schedule: Schedule, { account, alterations, coverage }: RunOptions<Alterations>) {
    this.schedule = schedule
    this.alterations = alterations ?? {}
    this.coverage = coverage ?? new Coverage()
    this.engine = new Engine({ account, calm: schedule.calm })
    this.random = new Random(schedule.seed)
    this.database = new Database({
      engine: this.engine,
      random: this.random,
      coverage: this.coverage,
      lanes: 1,
      writing: (step) => this.writing(step)
    })
    this.brokers = new Brokers(this.engine, this.random.fork("brokers"), nodes)
    this.groups = new Groups(this.engine, this.brokers)
    this.brokers.create(topic, partitions)
    this.brokers.create(deadLetters, 1)
    this.contents = {
      invoices: this.invoices,
      refused: this.refused,
      told: this.alterations.told ?? ((verdict) => verdict),
      conflicts: 0
    }
    this.parts = {
      engine: this.engine,
      random: this.random,
      server: this.database.server,
      brokers: this.brokers,
      groups: this.groups,
      statements: ModelStore.statements(this.contents),
      contents: this.contents,
      alterations: this.alterations
    }
    this.engine.describe = () => `next ${this.database.server.position.nextXid}, ${this.pending().length} pending`
  }

  async run(): Promise<Outcome> {
    this.start(0)
    // long enough for the last commits to be published
    await Course.enact(this, 350)
    this.heal()
    const { isComplete, recovery } = await Course.recover(this.engine, bound, () => this.isComplete())
    const violations = this.judge(isComplete)
    for (const validator of this.validators) validator?.process.kill()
    return { violations, recovery, account: this.engine.account ?? [] }
  }

  private start(slot: number): void {
    this.generations += 1
    const name = `validator-${slot}.${this.generations}`
    this.engine.note("world", () => `starts ${name}`)
    const validator = Validator.start(this.parts, name, () => {
      this.engine.note(name, () => "ends")
      this.engine.after(200, undefined, () => {
        if (this.validators[slot]?.process.name === name) this.start(slot)
      })
    })
    this.validators[slot] = validator
    this.programs.push(validator)
    this.database.clients[slot] = validator.connections
  }

  /** The store writes an invoice with its event, and the relay publishes it once or twice. */
  private writing(step: Step) {
    const id = idOf(textOf(step, "name"))
    this.invoices.set(id, { ...(isSet(step, "valid") ? right : wrong), id })
    if (isSet(step, "refused")) this.refused.add(id)
    const { payload, topic: its, type } = InvoiceEvent.created(id)
    return {
      key: id,
      topic: its,
      payload: encoder.encode(payload),
      type,
      status: "Pending",
      committed: () => {
        for (let times = isSet(step, "twice") ? 2 : 1; times > 0; times--) {
          this.engine.after(1 + this.random.next() * 20, undefined, () => this.tell(id, payload))
        }
      }
    }
  }

  private tell(key: string, value: string): void {
    const record: Omit<Stored, "offset" | "at"> = { key, value: encoder.encode(value), headers: {} }
    const partition = Lane.of(key, partitions)
    this.engine.note("relay", () => `tells of ${key} in partition ${partition}`)
    this.brokers.put(topic, partition, record)
  }

  private stopBroker(id: number, millis: number): void {
    const { brokers, engine, validators } = this
    const node = brokers.nodes[id]
    if (node?.isUp !== true || brokers.up.length === 1) return
    const { moves } = brokers
    brokers.stop(node)
    if (brokers.moves > moves) this.coverage.mattered("broker")
    for (const validator of validators) {
      if (validator !== undefined) breakLinks(validator.network, id, "Closed connection")
    }
    engine.after(millis, undefined, () => {
      if (!node.isUp) brokers.start(node)
    })
  }

  perform(step: Step): void {
    const { brokers, database, engine, groups } = this
    if (database.perform(step)) return
    const later = (run: () => void): void => {
      engine.after(numberOf(step, "millis"), undefined, run)
    }
    const slot = this.validators[numberOf(step, "program")] === undefined ? 0 : numberOf(step, "program")
    const validator = this.validators[slot]
    switch (step.what) {
      case "garbage":
      case "unknown": {
        const id = idOf(textOf(step, "name"))
        this.unhandleable.add(id)
        this.tell(id, step.what === "garbage" ? "{}" : JSON.stringify({ id }))
        return
      }
      case "move": {
        const partition = brokers.partition(topic, numberOf(step, "partition"))
        const node = brokers.nodes[numberOf(step, "node")]
        if (partition !== undefined && node?.isUp === true) brokers.move(partition, node.id)
        return
      }
      case "broker":
        this.stopBroker(numberOf(step, "node"), numberOf(step, "millis"))
        return
      case "coordinator":
        groups.move(Validator.group, numberOf(step, "node"), numberOf(step, "millis"))
        return
      case "join-fails":
        groups.failJoins(Validator.group, numberOf(step, "times"))
        return
      case "cut":
        if (validator === undefined) return
        cutOff(validator.network, step.with["node"] === undefined ? [0, 1, 2] : [numberOf(step, "node")])
        later(() => reconnect(validator.network))
        return
      case "deny":
        brokers.denied.add(deadLetters)
        later(() => brokers.denied.delete(deadLetters))
        return
      case "conflict":
        this.contents.conflicts += numberOf(step, "times")
        this.conflicts += numberOf(step, "times")
        return
      case "stop":
        validator?.process.stop()
        later(() => validator?.process.goOn())
        return
      case "kill":
      case "end":
        if (validator === undefined || validator.process.isDead) return
        if (step.what === "kill") validator.process.kill()
        else validator.end()
        later(() => {
          if (this.validators[slot] === validator) this.start(slot)
        })
        return
      case "second":
        if (this.validators[1] === undefined) this.start(1)
        return
      default:
        throw new Error(`nobody knows how to ${step.what}`)
    }
  }

  private heal(): void {
    const { brokers, contents, database, engine, groups, validators } = this
    engine.note("world", () => healing)
    this.isHealed = true
    database.heal()
    for (const node of brokers.nodes) if (!node.isUp) brokers.start(node)
    brokers.denied.clear()
    groups.heal()
    if (contents.conflicts < this.conflicts) this.coverage.mattered("conflict", this.conflicts - contents.conflicts)
    contents.conflicts = 0
    for (const validator of validators) {
      if (validator === undefined) continue
      validator.process.goOn()
      reconnect(validator.network)
    }
    if (validators.every((validator) => validator === undefined || validator.process.isDead)) this.start(0)
  }

  /** Invoices that were stored and wait for their verdict. */
  private pending(): ReadonlyArray<string> {
    return [...this.database.server.tables.aggregates].flatMap(([id, { committed }]) =>
      committed?.status === "Pending" ? [id] : []
    )
  }

  private deadLetters(): ReadonlySet<string> {
    const [partition] = this.brokers.topics.get(deadLetters) ?? []
    return new Set(partition?.log.map(({ key }) => key ?? ""))
  }

  private isComplete(): boolean {
    const { brokers, database, refused, unhandleable } = this
    const changes = brokers.appends + database.server.changes
    if (!this.isHealed || changes === this.changesSeen) return false
    this.changesSeen = changes
    if (!database.server.isUp || !database.server.isQuiet) return false
    const deadLetters = this.deadLetters()
    return (
      this.pending().every((id) => refused.has(id) && deadLetters.has(id)) &&
      [...unhandleable].every((id) => deadLetters.has(id))
    )
  }

  private judge(isComplete: boolean): ReadonlyArray<string> {
    const { coverage, database, groups, invoices, refused, unhandleable } = this
    const violations: Array<string> = []
    const deadLetters = this.deadLetters()
    const committed = database.committed()
    database.check(new Set(committed.map(({ id }) => id)))
    for (const id of deadLetters) {
      if (!refused.has(id) && !unhandleable.has(id))
        violations.push("an invoice that nothing is wrong with is a dead letter")
    }
    for (const [id, { committed: row }] of database.server.tables.aggregates) {
      const invoice = invoices.get(id)
      if (row === undefined || invoice === undefined || row.status === "Pending") continue
      const expected = Profile.judge(Profile.core, invoice)
      const verdicts = committed.filter(({ key, ver }) => key === id && ver > 1)
      if (row.status !== expected.status) violations.push(`an invoice is ${row.status}, and the rules say otherwise`)
      if (verdicts.length !== 1) violations.push(`an invoice has ${verdicts.length} verdicts`)
      const draft = InvoiceEvent.decided(invoice.id, 2, expected)
      for (const { payload, topic: its, type } of verdicts) {
        if (its !== draft.topic || type !== draft.type || decoder.decode(payload) !== draft.payload) {
          violations.push(`a verdict is told as ${type} on ${its}`)
        }
      }
      if (refused.has(id)) violations.push("an invoice was decided though the store refuses it")
    }
    if (this.engine.spinning !== undefined) violations.push("a program spins and does nothing else any more")
    if (!isComplete) violations.push(`stalled for ${bound} ms with ${this.pending().length} pending`)
    for (const { connections, network, process } of this.programs) countProgram(coverage, process, connections, network)
    for (const [code, what] of reasons) {
      const count = this.brokers.errors.get(code) ?? 0
      if (count > 0) coverage.mattered(what, count)
    }
    for (const [what, times] of database.server.refusedWrites) coverage.mattered(what, times)
    if (groups.refusals > 0) coverage.mattered("coordinator", groups.refusals)
    coverage.mattered("rebalances", groups.rebalances)
    coverage.mattered("join-fails", groups.failedJoins)
    coverage.mattered("members put out", groups.expired)
    coverage.mattered("dead letters", deadLetters.size)
    coverage.mattered("invoices", invoices.size)
    return [...new Set(violations)]
  }
}

export const consumerWorld: World<Alterations> = {
  name: "consumer",
  draw,
  run: (schedule, options) => {
    const world = new ConsumerWorld(schedule, options)
    return withVirtualTimers(world.engine, new Random(schedule.seed), () => world.run())
  }
}
