/** A fault's own database and topic, its programs and writers, and the judgement at the end. */
import type { Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import * as Programs from "../programs/Programs.ts"
import { connect, type Sql } from "../programs/Sql.ts"
import { until } from "../programs/Waiting.ts"
import * as Ledger from "./Ledger.ts"
import { LogReader } from "./LogReader.ts"
import * as Oracle from "./Oracle.ts"
import type { Postgres } from "./Postgres.ts"
import type { Random } from "./Random.ts"
import { createTopic, deleteTopics, type Config as TopicConfig } from "./Topic.ts"
import { keys, template, type World } from "./World.ts"
import * as Writers from "./Writers.ts"

/** The outcome of a fault's run. */
export interface Outcome {
  readonly judgement: Oracle.Judgement
  /** Invoices with more than one effective verdict. */
  readonly twice?: number
  /** Invoices that are still Pending. */
  readonly stuck?: number
  /** Invoices whose verdict is not what the rules say. */
  readonly wrong?: number
  /** How often the most frequent record came. */
  readonly most?: number
  /** What was broken; empty when the promise was kept. */
  readonly broken: ReadonlyArray<string>
  /** Further facts to print. */
  readonly notes: ReadonlyArray<string>
}

export interface Relaying {
  /** Whether the program reaches the brokers through the proxy. */
  readonly proxied?: boolean
  readonly env?: Readonly<Record<string, string>>
  readonly preload?: string
}

const patched = fileURLToPath(new URL("mutants/patched.ts", import.meta.url))

export class Scene {
  readonly world: World
  readonly name: string
  readonly topic: string
  readonly database: string
  readonly random: Random
  readonly notes: Array<string> = []
  /** The name of the patch that turns this scene's programs into mutants. */
  patch: string | undefined
  /** Seconds without a new record after which no more records are expected. */
  quietSeconds = 30
  /** The server that the scene uses now. */
  private at: { readonly url: string; readonly sql: Sql }
  private closing: Promise<void> | undefined
  private ownsTopic = false
  private readonly programs: Array<Programs.Running> = []
  private readonly writings: Array<Writers.Writing> = []

  private constructor(world: World, name: string) {
    this.world = world
    this.name = name
    const id = `${name.replaceAll(/\W+/gu, "_")}_${Date.now().toString(36)}`.toLowerCase()
    this.topic = `load_${id}`
    this.database = `faults_${id}`
    this.random = world.random.fork(name)
    this.at = this.on(world.postgres)
  }

  private on(postgres: Postgres, port?: number): typeof this.at {
    const url = postgres.url(this.database, port)
    return { url, sql: connect(url, 4) }
  }

  /** Continues on another server: programs and writers that start from now on use it. */
  async moveTo(postgres: Postgres, port?: number): Promise<void> {
    await this.at.sql.close()
    this.at = this.on(postgres, port)
  }

  static async open(world: World, name: string, config: TopicConfig | "left to the product" = {}): Promise<Scene> {
    const scene = new Scene(world, name)
    await scene.makeDatabase(world.postgres)
    if (config !== "left to the product") {
      await createTopic(world.kafka.brokers, scene.topic, config)
      scene.ownsTopic = true
    }
    return scene
  }

  /** Makes the scene's database, with the product's schema and an empty ledger. */
  async makeDatabase(postgres: Postgres): Promise<void> {
    const admin = postgres.admin()
    try {
      await admin.query(`create database ${this.database} template ${template}`)
    } finally {
      await admin.close()
    }
  }

  get url(): string {
    return this.at.url
  }

  get sql(): Sql {
    return this.at.sql
  }

  async program(name: Programs.Name, { env, preload, proxied }: Relaying = {}): Promise<Programs.Running> {
    const running = await Programs.start(
      name,
      {
        DATABASE_URL: this.url,
        DATABASE_CONNECTIONS: "3",
        KAFKA_BROKERS: this.brokers(proxied),
        RELAY_LEASE_MS: "1000",
        RETRY_INTERVAL_MS: "200",
        LOG_FORMAT: "json",
        ...(this.patch === undefined ? {} : { FAULTS_PATCH: this.patch }),
        ...env
      },
      [...(this.patch === undefined ? [] : [patched]), ...(preload === undefined ? [] : [preload])]
    )
    this.programs.push(running)
    return running
  }

  private brokers(proxied = false): string {
    return proxied ? this.world.proxy.brokers : this.world.kafka.brokers
  }

  relay(options: Relaying = {}): Promise<Programs.Running> {
    return this.program("relay", options)
  }

  async mutant(name: string, { proxied }: Relaying = {}): Promise<Programs.Running> {
    const running = await Programs.startScript(new URL("mutants/main.ts", import.meta.url), [
      name,
      this.url,
      this.brokers(proxied)
    ])
    this.programs.push(running)
    return running
  }

  write(options: Partial<Writers.Options> = {}): Writers.Writing {
    const writing = Writers.write({
      url: this.url,
      topic: this.topic,
      random: this.random.fork("writers"),
      keys,
      ...options
    })
    this.writings.push(writing)
    return writing
  }

  /** The lane's epoch, which rises with every take-over. */
  async epoch(): Promise<number> {
    const [row] = await this.sql.query("select max(epoch) as epoch from outbox_cursor")
    return Number(row?.["epoch"] ?? 0)
  }

  /** Waits until another relay has the lane. */
  async takenOver(since: number): Promise<void> {
    await until("another relay has the lane", async () => (await this.epoch()) > since)
  }

  /** Gives the lane to this relay by stopping all other programs, and then starts as many new relays. */
  async handTo(relay: Programs.Running): Promise<void> {
    const others = this.programs.filter((other) => other !== relay && other.isRunning())
    const epoch = await this.epoch()
    await Promise.all(others.map((other) => other.signal("SIGTERM")))
    await this.takenOver(epoch)
    await Promise.all(others.map(() => this.relay()))
  }

  /** Waits until every committed event is in the log, or no more come; stops the programs, then reads to the end. */
  async published(
    committed: ReadonlyArray<Ledger.Committed>,
    options: { readonly topics?: ReadonlyArray<string>; readonly quietSeconds?: number } = {}
  ): Promise<ReadonlyArray<Oracle.Published>> {
    const reader = await LogReader.open(this.world.kafka.brokers, options.topics ?? [this.topic])
    try {
      const missing = committed.filter(({ id }) => !reader.has(id))
      const isComplete = (): boolean => {
        for (let last = missing.at(-1); last !== undefined && reader.has(last.id); last = missing.at(-1)) missing.pop()
        return missing.length === 0
      }
      let count = -1
      while (!isComplete() && reader.count !== count) {
        count = reader.count
        await until("more comes", () => isComplete() || reader.count > count, {
          seconds: options.quietSeconds ?? this.quietSeconds
        }).catch(() => {})
      }
      await Programs.stopAll(this.programs)
      return await reader.toTheEnd()
    } finally {
      await reader.close()
    }
  }

  /** Stops the writers, waits for the relays, stops them, and compares the ledger with the log. */
  async judge({
    isOurs = () => true,
    ...options
  }: {
    readonly topics?: ReadonlyArray<string>
    readonly quietSeconds?: number
    /** Selects this scene's records, on topics that other scenes use too. */
    readonly isOurs?: (record: Oracle.Published) => boolean
  } = {}): Promise<Outcome> {
    for (const writing of this.writings) await writing.stop()
    const acknowledged = this.writings.reduce((sum, writing) => sum + writing.committed(), 0)
    const committed = await Ledger.committed(this.sql)
    const published = (await this.published(committed, options)).filter(isOurs)
    const judgement = Oracle.judge(committed, published)
    const wrong = Oracle.gaps(committed)
    return {
      judgement,
      most: Oracle.mostOf(published),
      notes: this.notes,
      broken: [
        ...Oracle.broken(judgement),
        ...(wrong.length === 0 ? [] : [`the ledger has gaps at ${wrong.slice(0, 3)}`]),
        ...(acknowledged > committed.length ? ["commits that were answered are not in the ledger"] : [])
      ]
    }
  }

  /** Writes what the programs have logged, to find the cause of a failure. */
  report(to: Writable): void {
    for (const program of this.programs) to.write(`--- a program of ${this.name}\n${program.output().slice(-3_000)}\n`)
  }

  /** Ends everything that the scene has started; a second call does nothing. */
  close(): Promise<void> {
    this.closing ??= this.end()
    return this.closing
  }

  private async end(): Promise<void> {
    await Promise.allSettled(this.writings.map((writing) => writing.stop()))
    await Programs.stopAll(this.programs)
    await this.sql.close()
    const admin = this.world.postgres.admin()
    await admin.query(`drop database if exists ${this.database} with (force)`).catch(() => {})
    await admin.close()
    if (this.ownsTopic) await deleteTopics(this.world.kafka.brokers, [this.topic]).catch(() => {})
  }
}
