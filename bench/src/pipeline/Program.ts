/** Programs of the pipeline, and parts of the benchmark, as processes of their own. */
import { type ChildProcess, spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"

const entry = fileURLToPath(new URL("../../../packages/runtime-node/src/bin/invoice.ts", import.meta.url))

export interface Program {
  readonly pid: number
  /** Its URLs by name, from the line that it prints when it is ready. */
  readonly urls: Readonly<Record<string, string>>
  readonly signal: (signal: NodeJS.Signals) => void
  /** Seconds of CPU so far, user and system. */
  readonly cpuSeconds: () => Promise<number>
  /** Resident memory in MB. */
  readonly residentMegabytes: () => Promise<number>
  readonly stop: () => Promise<void>
}

type Environment = Readonly<Record<string, string>>

/** BENCH_PROFILES: a folder for a CPU profile of each process. */
const node = (): ReadonlyArray<string> => {
  const folder = process.env["BENCH_PROFILES"]
  return ["--conditions=source", ...(folder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${folder}`])]
}

const spawned = (script: string, args: ReadonlyArray<string>, environment: Environment): ChildProcess =>
  spawn(process.execPath, [...node(), script, ...args], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: ["ignore", "pipe", "inherit"]
  })

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve(child.exitCode)
    } else {
      child.once("exit", resolve)
    }
  })

/** All running processes, to be stopped when the benchmark is cut off. */
const running = new Set<ChildProcess>()

export const stopAll = async (): Promise<void> => {
  await Promise.all(
    [...running].map((child) => {
      child.kill("SIGKILL")
      return ended(child)
    })
  )
}

const tracked = (child: ChildProcess): ChildProcess => {
  running.add(child)
  child.once("exit", () => running.delete(child))
  return child
}

/** `invoice <name>`; resolves when it says that it is ready. */
export const start = async (name: string, environment: Environment): Promise<Program> => {
  const child = tracked(
    spawned(entry, [name], {
      HTTP_ADDRESS: "127.0.0.1:0",
      GRPC_PORT: "0",
      METRICS_ADDRESS: "127.0.0.1:0",
      LOG_LEVEL: "warn",
      ...environment
    })
  )
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      const text = chunk.toString()
      if (text.includes("invoice ready")) {
        resolve(text)
      } else {
        process.stderr.write(text)
      }
    })
    child.once("exit", (code) => reject(new Error(`the ${name} program ended with ${code}`)))
  })
  const pid = child.pid ?? 0
  return {
    pid,
    urls: Object.fromEntries([...line.matchAll(/(\w+) (http:\S+)/gu)].map(([, key, url]) => [key, url])),
    signal: (signal) => child.kill(signal),
    cpuSeconds: () => cpuSeconds(pid),
    residentMegabytes: () => residentMegabytes(pid),
    stop: async () => {
      child.kill("SIGTERM")
      await ended(child)
    }
  }
}

/** Runs a file of this folder as a process, with its input as JSON; answers its output, which is JSON too. */
export const measure = async <Answer>(file: string, input: unknown): Promise<Answer> => {
  const script = fileURLToPath(new URL(file, import.meta.url))
  const child = tracked(spawned(script, [JSON.stringify(input)], {}))
  const chunks: Array<Buffer> = []
  child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk))
  const closed = new Promise((resolve) => child.once("close", resolve))
  const code = await ended(child)
  await closed
  if (code !== 0) {
    throw new Error(`${file} ended with ${code}`)
  }
  // the lines before the last one are log lines
  return JSON.parse(Buffer.concat(chunks).toString().trimEnd().split("\n").at(-1) ?? "")
}

/** The input that `measure` has passed to this process. */
export const input = <Input>(): Input => JSON.parse(process.argv[2] ?? "{}")

/** Writes this process' answer to `measure`. */
export const answer = (answer: unknown): void => {
  process.stdout.write(`\n${JSON.stringify(answer)}\n`)
}

/** proc(5): fields 14 and 15 of stat, in ticks of 1/100 s; statm counts pages of 4 kB. */
const cpuSeconds = async (pid: number): Promise<number> => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const residentMegabytes = async (pid: number): Promise<number> =>
  (Number((await readFile(`/proc/${pid}/statm`, "utf8")).split(" ")[1]) * 4_096) / 1e6
