/** The server as a child process. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import { createServer } from "node:net"
import * as Path from "node:path"
import { Effect, Fiber, type Scope } from "effect"
import { attempt, type EmbeddedPostgresError, fail } from "./EmbeddedPostgresError.ts"
import type * as PostgresBinaries from "./PostgresBinaries.ts"
import type * as PostgresUser from "./PostgresUser.ts"
import { isAlive } from "./ProcessIdentity.ts"

export const freePort = attempt(
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

const ended = async (pid: number, millis: number): Promise<boolean> => {
  for (let waited = 0; waited < millis && isAlive(pid); waited += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return !isAlive(pid)
}

/** Stops the server that a killed process left running on this cluster. */
export const stopOrphan = (cluster: string): Effect.Effect<void, EmbeddedPostgresError> =>
  attempt("can't stop the Postgres that an earlier run left behind", async () => {
    const file = await Fs.readFile(Path.join(cluster, "postmaster.pid"), "utf8").catch(() => "")
    const pid = Number(file.split("\n")[0])
    if (!(pid > 0) || !isAlive(pid)) {
      return
    }
    // the process id may belong to another program by now
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

interface Server {
  readonly child: ChildProcess
  /** Resolves when the process has ended, with how it ended and the last that it said. */
  readonly ended: Promise<string>
}

const flags = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  max_wal_size: "2GB",
  timezone: "UTC"
}

/** Succeeds when the server takes connections. Interruption stops it. */
const start = (
  { postgres }: PostgresBinaries.PostgresBinaries,
  cluster: string,
  port: number,
  as: PostgresUser.PostgresUser | undefined
): Effect.Effect<Server, EmbeddedPostgresError> =>
  Effect.callback((resume) => {
    const child = spawn(
      postgres,
      [
        "-D",
        cluster,
        "-p",
        String(port),
        ...Object.entries(flags).flatMap(([name, value]) => ["-c", `${name}=${value}`])
      ],
      // a process group of its own: Ctrl-C in a terminal reaches only us, and we stop Postgres last
      { ...as, cwd: cluster, detached: true, stdio: ["ignore", "ignore", "pipe"], env: { LC_ALL: "C" } }
    )
    let said = ""
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => {
        resume(fail(`can't start Postgres: ${error.message}`))
        resolve(error.message)
      })
      child.once("exit", (code, signal) => {
        const how = `(${signal ?? code}): ${said.trim()}`
        resume(fail(`Postgres ended while it started ${how}`))
        resolve(how)
      })
    })
    const server: Server = { child, ended }
    child.stderr?.setEncoding("utf8")
    child.stderr?.on("data", (text: string) => {
      said = (said + text).slice(-2_000)
      if (text.includes("ready to accept connections")) {
        resume(Effect.succeed(server))
      }
    })
    return stop(server)
  })

const stop = ({ child, ended }: Server): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return
    }
    // fast shutdown: rolls back what is open and writes a checkpoint
    child.kill("SIGINT")
    const late = setTimeout(() => child.kill("SIGQUIT"), 5_000)
    await ended
    clearTimeout(late)
  })

/** The first wait before a server that has ended is started again, in milliseconds, and the longest; each doubles. */
const firstWait = 100
const longestWait = 5_000
/** A server that ran this long before it ended is started again as if for the first time. */
const steadyMillis = 30_000
const defaultGiveUpMillis = 300_000

export interface Options {
  readonly binaries: PostgresBinaries.PostgresBinaries
  readonly cluster: string
  readonly port: number
  readonly user: PostgresUser.PostgresUser | undefined
  /** For how long a server that has ended is tried to be started again, in milliseconds; default 5 minutes. */
  readonly giveUpMillis?: number | undefined
}

export interface Running {
  /** Fails when the server has ended by itself and could not be started again. */
  readonly lost: Effect.Effect<never, EmbeddedPostgresError>
}

/**
 * Runs while the scope lasts. A server that ends by itself (it was killed, its disk was full) is started again on the
 * same port, with waits that grow: what it had committed is there again, and clients need only connect anew.
 */
export const run = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Running, EmbeddedPostgresError, Scope.Scope> {
  const { binaries, cluster, giveUpMillis = defaultGiveUpMillis, port, user } = options
  const starting = start(binaries, cluster, port, user)
  let server: Server = yield* Effect.acquireRelease(starting, () =>
    Effect.suspend((): Effect.Effect<void> => stop(server))
  )
  let wait = firstWait

  const restart = Effect.fnUntraced(function* (why: string) {
    const giveUpAt = performance.now() + giveUpMillis
    while (true) {
      yield* Effect.sleep(`${wait} millis`)
      wait = Math.min(2 * wait, longestWait)
      // uninterruptible from the server's start to the variable, so that the finalizer knows every server that runs
      const failure = yield* Effect.uninterruptibleMask((restore) =>
        Effect.match(restore(starting), {
          onSuccess: (started) => {
            server = started
            return undefined
          },
          onFailure: ({ reason }) => reason
        })
      )
      if (failure === undefined) return yield* Effect.logWarning("embedded Postgres runs again")
      yield* Effect.logError(`embedded Postgres could not be started again: ${failure}`)
      if (performance.now() >= giveUpAt) {
        return yield* fail(`embedded Postgres ended unexpectedly ${why}; it can't be started again: ${failure}`)
      }
    }
  })

  const supervise = Effect.gen(function* () {
    while (true) {
      const startedAt = performance.now()
      const why = yield* Effect.promise(() => server.ended)
      yield* Effect.logError(`embedded Postgres ended unexpectedly ${why}`)
      if (performance.now() - startedAt >= steadyMillis) wait = firstWait
      yield* restart(why)
    }
  })
  // ends before the finalizer above stops the server
  const supervisor = yield* Effect.forkScoped(supervise)
  return { lost: Fiber.join(supervisor) }
})
