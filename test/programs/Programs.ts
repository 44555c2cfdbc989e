/** The programs as a user runs them: child processes from source, all of which are gone when the suite ends. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const entry = fileURLToPath(new URL("../../packages/runtime-node/src/bin/invoice.ts", import.meta.url))

export type Name = "api" | "relay" | "storage" | "up" | "validator"

/** The compile cache of Node.js, which saves a third of the time that a program's start takes. */
const compiled = fileURLToPath(new URL("../../.cache/node", import.meta.url))

export interface Running {
  readonly child: ChildProcess
  readonly output: () => string
  /** `api`, `grpc` or `metrics`, from the line that says it is ready. */
  readonly url: (name: string) => string
  /** The status that `/readyz` answers; 0 without an answer within 5 s. */
  readonly readiness: () => Promise<number>
  readonly isRunning: () => boolean
  /** Sends a signal. When the signal ends the process, resolves at its end with the exit code or the signal. */
  readonly signal: (signal: NodeJS.Signals) => Promise<number | string>
}

const alive = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of alive) child.kill("SIGKILL")
})

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/** Starts a program and waits until it is ready; rejects with its output when it ends before. */
export const start = (
  name: Name,
  env: Readonly<Record<string, string>>,
  preloads: ReadonlyArray<string> = []
): Promise<Running> =>
  launch([...preloads.flatMap((preload) => ["--import", preload]), entry, name], {
    HTTP_ADDRESS: "127.0.0.1:0",
    GRPC_PORT: "0",
    PROMETHEUS_PORT: "0",
    ...env
  })

/** Starts a script of a suite, which prints the same ready line as the programs. */
export const startScript = (script: URL, args: ReadonlyArray<string>): Promise<Running> =>
  launch([fileURLToPath(script), ...args], {})

const launch = async (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>): Promise<Running> => {
  const child = spawn(process.execPath, ["--conditions=source", ...args], {
    env: { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: compiled, ...env },
    // a process group of its own: Ctrl-C reaches only this suite, which then ends the program
    detached: true,
    stdio: ["ignore", "pipe", "pipe"]
  })
  alive.add(child)
  child.once("exit", () => alive.delete(child))
  let printed = ""
  let line = ""
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      printed = (printed + chunk.toString("utf8")).slice(-20_000)
      line ||= /^invoice ready:.*$/mu.exec(printed)?.[0] ?? ""
      if (line !== "") resolve()
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.once("error", reject)
    child.once("exit", (code, signal) => reject(new Error(`${args.join(" ")} ended (${code ?? signal}): ${printed}`)))
  })
  const url = (which: string): string => new RegExp(`\\b${which} (http://\\S+)`, "u").exec(line)?.[1] ?? ""
  return {
    child,
    output: () => printed,
    url,
    readiness: () =>
      fetch(new URL("/readyz", url("metrics")), { signal: AbortSignal.timeout(5_000) }).then(
        ({ status }) => status,
        () => 0
      ),
    isRunning: () => isRunning(child),
    signal: (signal) =>
      new Promise((resolve) => {
        if (!isRunning(child)) {
          resolve(child.exitCode ?? child.signalCode ?? "")
          return
        }
        if (signal === "SIGSTOP" || signal === "SIGCONT") {
          child.kill(signal)
          resolve(signal)
          return
        }
        child.once("exit", (code, ending) => resolve(code ?? ending ?? ""))
        child.kill(signal)
      })
  }
}

/** Ends the programs: SIGCONT for those that are stopped, then SIGTERM, and SIGKILL after 15 s. */
export const stopAll = async (some: ReadonlyArray<Running>): Promise<void> => {
  await Promise.all(
    some.map(async (program) => {
      await program.signal("SIGCONT")
      const late = setTimeout(() => program.child.kill("SIGKILL"), 15_000)
      await program.signal("SIGTERM")
      clearTimeout(late)
    })
  )
}
