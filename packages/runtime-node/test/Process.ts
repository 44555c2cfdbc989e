/** Runs a program as its own process, as a user would. */
import { type ChildProcess, spawn } from "node:child_process"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))

export interface Running {
  readonly child: ChildProcess
  /** Everything it has printed so far. */
  readonly output: () => string
  /** `api`, `metrics`: from the line that says it is ready. */
  readonly url: (name: string) => string
  /** Sends a signal and waits for the end; answers the exit code, or the signal. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | string>
}

const ended = (child: ChildProcess): Promise<number | string> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve(child.exitCode ?? child.signalCode ?? "")
    } else {
      child.once("exit", (code, signal) => resolve(code ?? signal ?? ""))
    }
  })

const ports = { HTTP_ADDRESS: "127.0.0.1:0", GRPC_PORT: "0", PROMETHEUS_PORT: "0" }

/** Starts a program and waits until it is ready; fails with its output when it ends before. */
export const start = (program: string, env: Readonly<Record<string, string>>): Promise<Running> =>
  launch([process.execPath, "--conditions=source", entry, program], { env })

export interface LaunchOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** In a process group of its own, as from a terminal. */
  readonly detached?: boolean
}

/** Runs a command that starts a program, on free ports, as `start` does. */
export const launch = async (
  [command = "", ...args]: ReadonlyArray<string>,
  { env, ...options }: LaunchOptions
): Promise<Running> => {
  const child = spawn(command, args, {
    ...options,
    env: { PATH: process.env["PATH"] ?? "", ...ports, ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let printed = ""
  let line = ""
  const running: Running = {
    child,
    output: () => printed,
    url: (name) => new RegExp(`\\b${name} (http://\\S+)`, "u").exec(line)?.[1] ?? "",
    stop: (signal = "SIGTERM") => {
      const end = ended(child)
      child.kill(signal)
      return end
    }
  }
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      printed += chunk.toString("utf8")
      line ||= /^invoice ready:.*$/mu.exec(printed)?.[0] ?? ""
      if (line !== "") {
        resolve()
      }
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.once("exit", (code, signal) => reject(new Error(`${args.at(-1)} ended (${code ?? signal}): ${printed}`)))
  })
  return running
}

/** A new directory that Postgres can reach whatever user it runs as, and how to remove it. */
export const dataDir = async (): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> => {
  const path = await mkdtemp(join(tmpdir(), "invoice-up-"))
  await chmod(path, 0o755)
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

export const post = async (
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = { "content-type": "application/json" }
): Promise<Answer> => {
  const response = await fetch(url, { method: "POST", body, headers })
  return {
    status: response.status,
    type: response.headers.get("content-type") ?? "",
    text: await response.text()
  }
}

export const create = (api: string, document: Readonly<Record<string, unknown>>): Promise<Answer> =>
  post(`${api}/api/invoice/create`, JSON.stringify({ invoice: document }))

export const get = (api: string, id: unknown): Promise<Answer> => post(`${api}/api/invoice/get`, JSON.stringify({ id }))

/** Asks until the answer is as wanted; fails with the last answer after `seconds`. */
export const until = async <A>(ask: () => Promise<A>, wanted: (answer: A) => boolean, seconds = 30): Promise<A> => {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (wanted(answer)) {
      return answer
    }
    if (Date.now() > deadline) {
      throw new Error(`still not after ${seconds} s: ${JSON.stringify(answer)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The answer of `get` once the invoice has its verdict. */
export const decided = async (api: string, id: unknown): Promise<Record<string, unknown>> =>
  JSON.parse(
    (
      await until(
        () => get(api, id),
        ({ text }) => /"status":"(Approved|Rejected)"/u.test(text)
      )
    ).text
  )
