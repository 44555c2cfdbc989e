/**
 * Writers, a database, a program that serves watches, and clients that watch: does each client see every later change?
 */
import { InvoiceStore, Invoices, InvoiceValidator } from "@invoice/core"
import { Effect, Layer } from "effect"
import { Random } from "../../faults/Random.ts"
import { Coverage } from "../Coverage.ts"
import { Engine } from "../Engine.ts"
import { Process } from "../Process.ts"
import { Connections } from "../postgres/Connections.ts"
import { numberOf, type Schedule, type Step, textOf } from "../Schedule.ts"
import * as Seams from "../Seams.ts"
import { withVirtualTimers } from "../VirtualTimers.ts"
import { healing, type Outcome, type RunOptions, type World } from "../World.ts"
import type { Alterations } from "./Alterations.ts"
import { countProgram } from "./Counting.ts"
import * as Course from "./Course.ts"
import { Database } from "./Database.ts"
import { type Committed, nameOfEvent, Watcher } from "./Watcher.ts"
import { draw } from "./WatchSchedules.ts"

/** How long after the last harm every client must have seen every change, in milliseconds. */
const bound = 20_000

const statements = Seams.statements()
const never = new Proxy(
  {},
  {
    get: () => {
      throw new Error("nobody asks for this in the watches' world")
    }
  }
)

const idOf = (key: string): string => `00000000-0000-4000-8000-00000000000${key}`
const payload = new TextEncoder().encode("{}")

class WatchWorld implements Course.Stage {
  readonly engine: Engine
  readonly coverage: Coverage
  private readonly database: Database
  private readonly random: Random
  readonly schedule: Schedule
  private readonly alterations: Alterations
  private readonly watchers: Array<Watcher> = []
  private serving: { readonly process: Process; invoices: Invoices["Service"] | undefined } | undefined
  private readonly programs: Array<{ readonly process: Process; readonly connections: Connections }> = []
  private generations = 0

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
      writing: (step) => ({ key: idOf(textOf(step, "key")), topic: "new_invoice", payload, type: "invoice.approved" })
    })
    this.engine.describe = () => this.database.describe()
  }

  async run(): Promise<Outcome> {
    this.start()
    await Course.enact(this, 50)
    this.engine.note("world", () => healing)
    this.database.heal()
    this.serving?.process.goOn()
    if (this.serving === undefined) this.start()
    let seen = -1
    const { isComplete, recovery } = await Course.recover(this.engine, bound, () => {
      const changes = this.watchers.reduce((sum, watcher) => sum + watcher.changes, this.database.server.changes)
      if (changes === seen) return false
      seen = changes
      return this.isComplete()
    })
    const violations = this.judge(isComplete)
    this.serving?.process.kill()
    return { violations, recovery, account: this.engine.account ?? [] }
  }

  /** Starts the program that serves the watches. */
  private start(): void {
    this.generations += 1
    const name = `api.${this.generations}`
    this.engine.note("world", () => `starts ${name}`)
    const process = new Process(this.engine, name, this.random.fork(name))
    const connections = new Connections(this.database.server, this.alterations.statements ?? statements, process, {
      maxConnections: 4
    })
    this.database.clients = [connections]
    this.programs.push({ process, connections })
    const changes = { ...never, ...Seams.changes(connections) } as InvoiceStore["Service"]
    const layer = Invoices.layer.pipe(
      Layer.provide(Layer.succeed(InvoiceStore, this.alterations.store?.(changes) ?? changes)),
      Layer.provide(Layer.succeed(InvoiceValidator, never as InvoiceValidator["Service"]))
    )
    const serving: typeof this.serving = { process, invoices: undefined }
    this.serving = serving
    process.fork(
      Effect.scoped(
        Effect.flatMap(Layer.build(layer), (context) =>
          Effect.provide(
            Effect.flatMap(Invoices, (invoices) => {
              serving.invoices = invoices
              return Effect.never
            }),
            context
          )
        )
      )
    )
    for (const watcher of this.watchers) this.connect(watcher)
  }

  private connect(watcher: Watcher): void {
    watcher.connect(() => {
      const { serving } = this
      return serving?.invoices === undefined || !serving.process.isRunning
        ? undefined
        : { process: serving.process, invoices: serving.invoices }
    })
  }

  perform(step: Step): void {
    const { coverage, database, engine } = this
    if (database.perform(step)) {
      if (numberOf(step, "behind") > 0) for (const watcher of this.watchers) watcher.isExcused = true
      return
    }
    const later = (run: () => void): void => {
      engine.after(numberOf(step, "millis"), undefined, run)
    }
    const named = this.watchers.find(({ name }) => name === textOf(step, "watcher"))
    const { serving } = this
    switch (step.what) {
      case "watch": {
        if (named !== undefined) return
        const from = textOf(step, "from") === "now" ? "now" : "beginning"
        const watcher = new Watcher(engine, textOf(step, "watcher"), from)
        this.watchers.push(watcher)
        this.connect(watcher)
        return
      }
      case "leave":
        if (named === undefined) return
        coverage.mattered("leave")
        named.leave(numberOf(step, "millis"), () => this.connect(named))
        return
      case "stop":
        serving?.process.stop()
        later(() => serving?.process.goOn())
        return
      case "kill":
        if (serving === undefined) return
        if (this.watchers.length > 0) coverage.mattered("kill")
        serving.process.kill()
        this.serving = undefined
        for (const watcher of this.watchers) watcher.disconnected()
        later(() => {
          if (this.serving === undefined) this.start()
        })
        return
      default:
        throw new Error(`nobody knows how to ${step.what}`)
    }
  }

  private committed(): ReadonlyArray<Committed> {
    const { emptiedAt, writers } = this.database
    return this.database.committed().map((event) => ({
      ...event,
      committedAt: writers.written.get(event.id)?.committedAt,
      emptiedAt: emptiedAt.get(event.id)
    }))
  }

  private isComplete(): boolean {
    const { database, watchers } = this
    if (!database.server.isUp || !database.server.isQuiet) return false
    const committed = this.committed()
    return watchers.every(
      (watcher) => watcher.ended !== undefined || watcher.isExcused || watcher.missing(committed).length === 0
    )
  }

  private judge(isComplete: boolean): ReadonlyArray<string> {
    const { coverage, database, watchers } = this
    const committed = this.committed()
    const names = new Set(committed.map(nameOfEvent))
    database.check(new Set(committed.map(({ id }) => id)))
    const violations: Array<string> = []
    for (const { connections, process } of this.programs) countProgram(coverage, process, connections)
    for (const watcher of watchers) {
      coverage.mattered("seen", watcher.seen.length)
      if (watcher.ended !== undefined) coverage.mattered(watcher.ended)
      if (watcher.isExcused) continue
      violations.push(...watcher.wrong(names).slice(0, 1))
      if (watcher.ended === "InvalidCursor") violations.push("a good cursor was called invalid")
      if (watcher.ended === "CursorExpired" && database.emptied.length === 0) {
        violations.push("a cursor was called expired, and everything is kept")
      }
      const missing = watcher.ended === undefined ? watcher.missing(committed).length : 0
      if (missing > 0 && !isComplete) violations.push(`${missing} changes never shown`)
    }
    if (database.server.reusedIds > 0) coverage.mattered("ids handed out again", database.server.reusedIds)
    return violations
  }
}

export const watchWorld: World<Alterations> = {
  name: "watch",
  draw,
  run: (schedule, options) => {
    const world = new WatchWorld(schedule, options)
    return withVirtualTimers(world.engine, new Random(schedule.seed), () => world.run())
  }
}
