/** A Postgres that this suite may harm: its own postmaster, on the cluster that the product's embedded Postgres makes. */
import { type ChildProcess, spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { chmod, mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Redacted } from "effect"
import { connect, type Sql } from "./Sql.ts"
import { until } from "./Waiting.ts"

/** A shell's words, as postmaster.opts holds them: the program as it is, its arguments in double quotes. */
const wordsOf = (line: string): ReadonlyArray<string> =>
  [...line.trim().matchAll(/"([^"]*)"|(\S+)/gu)].map(([, quoted, plain]) => quoted ?? plain ?? "")

const settings = { max_prepared_transactions: 50, max_connections: 200, log_min_messages: "panic" }

export class Postgres {
  private child: ChildProcess | undefined
  private readonly directory: string
  private readonly address: string
  private readonly command: ReadonlyArray<string>
  private readonly owner: { readonly uid: number; readonly gid: number }

  private constructor(
    directory: string,
    address: string,
    command: ReadonlyArray<string>,
    owner: { readonly uid: number; readonly gid: number }
  ) {
    this.directory = directory
    this.address = address
    this.command = command
    this.owner = owner
    // when this process ends without stop
    process.once("exit", () => {
      this.child?.kill("SIGQUIT")
      rmSync(directory, { recursive: true, force: true })
    })
  }

  static async start(): Promise<Postgres> {
    const directory = await mkdtemp(join(tmpdir(), "invoice-faults-"))
    // Postgres may run as another user, who must get through
    await chmod(directory, 0o755)
    const cluster = join(directory, "postgres")
    const made = Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.make({ dataDir: directory })
      const command = yield* Effect.promise(() => readFile(join(cluster, "postmaster.opts"), "utf8"))
      return { url: Redacted.value(url), command }
    })
    const { command, url } = await Effect.runPromise(Effect.scoped(made))
    const { gid, uid } = await stat(cluster)
    const postgres = new Postgres(directory, url, wordsOf(command), { uid, gid })
    await postgres.launch()
    return postgres
  }

  url(database: string): string {
    const url = new URL(this.address)
    url.pathname = `/${database}`
    return url.href
  }

  /** A pool on the maintenance database. */
  admin(): Sql {
    return connect(this.url("postgres"), 2, "faults-admin")
  }

  /** Every server process falls at once, nothing is written back: the log is replayed at the next start. */
  async crash(): Promise<void> {
    const { child } = this
    if (child === undefined) return
    const ended = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGQUIT")
    await ended
  }

  async launch(): Promise<void> {
    const [program = "", ...args] = this.command
    const root = process.getuid?.() === 0
    const child = spawn(
      program,
      [...args, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      {
        ...(root ? this.owner : {}),
        cwd: this.directory,
        // a group of its own: Ctrl-C reaches this suite, which stops Postgres last
        detached: true,
        stdio: ["ignore", "ignore", "pipe"],
        env: { LC_ALL: "C" }
      }
    )
    this.child = child
    let said = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2_000)
    })
    const probe = this.admin()
    try {
      await until("Postgres answers", async () => {
        if (child.exitCode !== null) throw new Error(`Postgres ended (${child.exitCode}): ${said}`)
        return probe.query("select 1").then(
          () => true,
          () => false
        )
      })
    } finally {
      await probe.close()
    }
  }

  async stop(): Promise<void> {
    const { child } = this
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGINT")
      const late = setTimeout(() => child.kill("SIGQUIT"), 5_000)
      await ended
      clearTimeout(late)
    }
    await rm(this.directory, { recursive: true, force: true })
  }
}
