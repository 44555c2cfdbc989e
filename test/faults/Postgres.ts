/** A Postgres that this suite may harm: its own postmaster, on a cluster that the product's embedded Postgres makes. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { appendFile, chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as EmbeddedPostgres from "@invoice/runtime-node/EmbeddedPostgres"
import { Effect, Redacted } from "effect"
import { freePort } from "../infra/kafka/Cluster.ts"
import { connect, type Sql } from "../programs/Sql.ts"
import { until } from "../programs/Waiting.ts"

/** Splits a command line of postmaster.opts: the program without quotes, its arguments in double quotes. */
const wordsOf = (line: string): ReadonlyArray<string> =>
  [...line.trim().matchAll(/"([^"]*)"|(\S+)/gu)].map(([, quoted, plain]) => quoted ?? plain ?? "")

const settings = { max_prepared_transactions: 50, max_connections: 200, log_min_messages: "panic" }

/** The user that the server runs as; only root can start it as another user. */
interface Owner {
  readonly uid?: number
  readonly gid?: number
}

const ownerOf = async (cluster: string): Promise<Owner> => {
  if (process.getuid?.() !== 0) return {}
  const { gid, uid } = await stat(cluster)
  return { gid, uid }
}

const give = async (path: string, { gid, uid }: Owner): Promise<void> => {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
}

/** The ids of a process' children. */
const childrenOf = async (parent: number): Promise<ReadonlyArray<number>> => {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=", "-o", "ppid="])
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/u).map(Number))
    .flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []))
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // the process has ended meanwhile
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

export class Postgres {
  private child: ChildProcess | undefined
  /** The end of the output of its processes. */
  private said = ""
  /** Where its data is; the server's processes can read it. */
  readonly directory: string
  private readonly address: string
  private readonly command: ReadonlyArray<string>
  private readonly owner: Owner

  private constructor(directory: string, address: string, command: ReadonlyArray<string>, owner: Owner) {
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
    // Postgres may run as another user, who must be able to enter the directory
    await chmod(directory, 0o755)
    const cluster = join(directory, "postgres")
    const made = Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.make({ dataDir: directory })
      const command = yield* Effect.promise(() => readFile(join(cluster, "postmaster.opts"), "utf8"))
      return { url: Redacted.value(url), command }
    })
    const { command, url } = await Effect.runPromise(Effect.scoped(made))
    const owner = await ownerOf(cluster)
    await give(directory, owner)
    const postgres = new Postgres(directory, url, wordsOf(command), owner)
    await postgres.launch()
    return postgres
  }

  /**
   * Makes a hot standby that streams from a running server, from a base backup as `pg_basebackup` makes one. From here
   * on the primary's commits wait for the standby, except commits with `synchronous_commit` off.
   */
  static async standby(primary: Postgres): Promise<Postgres> {
    const directory = await mkdtemp(join(tmpdir(), "invoice-faults-"))
    const cluster = join(directory, "postgres")
    const { owner } = primary
    await give(directory, owner)
    await chmod(directory, 0o755)
    const address = new URL(primary.address)
    address.port = String(await freePort())
    const command = primary.command.map((word) =>
      word === String(primary.port) ? address.port : word.replace(primary.directory, directory)
    )
    const standby = new Postgres(directory, address.href, command, owner)
    const admin = primary.admin()
    const session = await admin.session()
    try {
      await session.query("select pg_backup_start('standby', true)")
      await promisify(execFile)("cp", ["-R", "-p", join(primary.directory, "postgres"), cluster], owner)
      const [backup] = await session.query("select labelfile from pg_backup_stop(false)")
      await rm(join(cluster, "postmaster.pid"))
      for (const [name, text] of [
        ["backup_label", String(backup?.["labelfile"])],
        ["standby.signal", ""]
      ] as const) {
        await writeFile(join(cluster, name), text)
        await give(join(cluster, name), owner)
      }
      const { password, username } = address
      await appendFile(
        join(cluster, "postgresql.auto.conf"),
        `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=${username} password=${password} application_name=standby'\n`
      )
      await standby.launch()
      await session.query("alter system set synchronous_standby_names = 'standby'")
      await session.query("select pg_reload_conf()")
      await until("the standby streams", async () => {
        const streaming = await admin.query("select from pg_stat_replication where sync_state = 'sync'")
        return streaming.length === 1
      })
    } finally {
      await session.release()
      await admin.close()
    }
    return standby
  }

  get port(): number {
    return Number(new URL(this.address).port)
  }

  /** @param port of something that forwards to the server; default the server's own */
  url(database: string, port: number = this.port): string {
    const url = new URL(this.address)
    url.pathname = `/${database}`
    url.port = String(port)
    return url.href
  }

  /** A standby becomes the primary. */
  async promote(): Promise<void> {
    const admin = this.admin()
    try {
      // the new primary has no standby of its own
      await admin.query("alter system reset synchronous_standby_names")
      await admin.query("select pg_promote()")
    } finally {
      await admin.close()
    }
  }

  /** A pool on the maintenance database. */
  admin(): Sql {
    return connect(this.url("postgres"), 2, "faults-admin")
  }

  /** Immediate shutdown: every server process ends at once without a checkpoint, and the next start replays the log. */
  async crash(): Promise<void> {
    const { child } = this
    if (child === undefined) return
    const ended = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGQUIT")
    await ended
  }

  /** SIGKILL to the postmaster and to every server process: none of them can do anything before it ends. */
  async kill(): Promise<void> {
    const { child } = this
    if (child?.pid === undefined) return
    const ended = new Promise((resolve) => child.once("exit", resolve))
    const children = await childrenOf(child.pid)
    child.kill("SIGKILL")
    for (const pid of children) signal(pid, "SIGKILL")
    await ended
    // the next server can't start while a process of this one still holds its shared memory
    await until("every server process has ended", () => children.every((pid) => !isAlive(pid)))
  }

  /** SIGKILL to one server process: the postmaster ends the others and recovers. Resolves when the server answers. */
  async killBackend(pid: number): Promise<void> {
    signal(pid, "SIGKILL")
    await until("Postgres has noticed", () => !isAlive(pid))
    await this.answers()
  }

  /** Stops every server process (SIGSTOP): clients get neither an answer nor an error. */
  async pause(): Promise<void> {
    const pid = this.child?.pid
    if (pid === undefined) return
    // the postmaster first, so that it starts no more processes
    signal(pid, "SIGSTOP")
    for (const child of await childrenOf(pid)) signal(child, "SIGSTOP")
  }

  async resume(): Promise<void> {
    const pid = this.child?.pid
    if (pid === undefined) return
    for (const child of await childrenOf(pid)) signal(child, "SIGCONT")
    signal(pid, "SIGCONT")
  }

  /** Undoes what a scene did to it. */
  async heal(): Promise<void> {
    if (this.child === undefined || this.child.exitCode !== null || this.child.signalCode !== null) await this.launch()
    else await this.resume()
  }

  /** Waits until Postgres answers. */
  async answers(): Promise<void> {
    const probe = this.admin()
    try {
      await until("Postgres answers", async () => {
        if (this.child?.exitCode !== null) throw new Error(`Postgres ended (${this.child?.exitCode}): ${this.said}`)
        return probe.query("select 1").then(
          () => true,
          () => false
        )
      })
    } finally {
      await probe.close()
    }
  }

  async launch(): Promise<void> {
    const [program = "", ...args] = this.command
    const child = spawn(
      program,
      [...args, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      {
        ...this.owner,
        cwd: this.directory,
        // a process group of its own: Ctrl-C reaches only this suite, which stops Postgres last
        detached: true,
        stdio: ["ignore", "ignore", "pipe"],
        env: { LC_ALL: "C" }
      }
    )
    this.child = child
    this.said = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      this.said = (this.said + chunk.toString()).slice(-2_000)
    })
    await this.answers()
  }

  async stop(): Promise<void> {
    const { child } = this
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve))
      await this.resume()
      child.kill("SIGINT")
      const late = setTimeout(() => child.kill("SIGQUIT"), 5_000)
      await ended
      clearTimeout(late)
    }
    await rm(this.directory, { recursive: true, force: true })
  }
}
