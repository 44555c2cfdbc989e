/** A database that stands still, refuses, or is gone. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { pause } from "../../programs/Waiting.ts"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Sessions from "../Sessions.ts"

const embedded: NonNullable<Scene["setup"]> = (long) => ({
  program: "embedded",
  env: long ? {} : { DATABASE_TIMEOUT_MS: "1000" }
})
const deadlineSeconds = (long: boolean): number => (long ? 5 : 1)
/** Good clients are refused while the database is gone; the scene itself judges how. */
const judged = { p99: undefined, success: undefined } as const

const postmasterOf = async ({ program }: Stage): Promise<number> =>
  Number((await readFile(join(program.dataDir ?? "", "postgres", "postmaster.pid"), "utf8")).split("\n")[0])

/** The postmaster and the processes of its connections. */
const serverOf = async (stage: Stage): Promise<ReadonlyArray<number>> => {
  const postmaster = await postmasterOf(stage)
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=", "-o", "ppid="])
  const children = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/u).map(Number))
    .flatMap(([pid, parent]) => (pid !== undefined && parent === postmaster ? [pid] : []))
  return [postmaster, ...children]
}

const signalAll = (pids: ReadonlyArray<number>, signal: NodeJS.Signals): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // it has ended
    }
  }
}

interface Probe {
  readonly status: number
  readonly retryAfter: string | null
  readonly seconds: number
}

const probe = async (url: string, init: RequestInit = {}): Promise<Probe> => {
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1_000
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(20_000) })
    await response.text()
    return { status: response.status, retryAfter: response.headers.get("retry-after"), seconds: seconds() }
  } catch {
    return { status: 0, retryAfter: null, seconds: seconds() }
  }
}

const createProbe = ({ program }: Stage, description = "x"): Promise<Probe> =>
  probe(`${program.api}/api/invoice/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      invoice: {
        id: crypto.randomUUID(),
        customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
        amount: "10.00",
        currency: "USD",
        notes: description.slice(0, 4_000),
        items: [{ description: description.slice(0, 1_000), quantity: 1, unit_price: "10.00", total: "10.00" }]
      }
    })
  })

const slowest = (probes: ReadonlyArray<Probe>): number => Math.max(0, ...probes.map(({ seconds }) => seconds))

/** Sends these again and again for a while, whether or not they are answered. */
const probing = async (stage: Stage, seconds: number, send: () => Promise<Probe>): Promise<ReadonlyArray<Probe>> => {
  const sent: Array<Promise<Probe>> = []
  for (const ends = performance.now() + seconds * 1_000; performance.now() < ends; await pause(200)) sent.push(send())
  const answers = await Promise.all(sent)
  for (const { status } of answers) stage.findings.answered(`HTTP ${status}`)
  return answers
}

/** Waits until creates succeed and the program is ready; answers after how many seconds, or undefined. */
const recovers = async (stage: Stage, seconds: number): Promise<number | undefined> => {
  const startedAt = performance.now()
  const passed = (): number => (performance.now() - startedAt) / 1_000
  while (passed() < seconds && stage.program.running.isRunning()) {
    const [created, ready] = await Promise.all([createProbe(stage), probe(`${stage.program.api}/readyz`)])
    if (created.status === 200 && ready.status === 200) return passed()
    await pause(100)
  }
  return undefined
}

const after = (seconds: number | undefined): string =>
  seconds === undefined ? "never" : `after ${seconds.toFixed(1)} s`

const stopped: Scene = {
  name: "Postgres stands still",
  promise: "503 with Retry-After within the deadline of 5 s, readyz within 2 s, alive all the time",
  setup: embedded,
  bounds: judged,
  // creates that are written together must not wait for one another's deadlines
  load: { eager: 16 },
  attack: async (stage) => {
    const { findings, program } = stage
    const server = await serverOf(stage)
    signalAll(server, "SIGSTOP")
    const wake = (): void => signalAll(server, "SIGCONT")
    stage.later(wake)
    const seconds = stage.pick(3, 20)
    const [creates, ready, alive] = await Promise.all([
      probing(stage, seconds, () => createProbe(stage)),
      probing(stage, seconds, () => probe(`${program.api}/readyz`)),
      probing(stage, seconds, () => probe(`${program.api}/healthz`))
    ])
    // an answer that was under way before the stop may still be good
    const late = creates.filter(({ status }) => status !== 503 && status !== 200)
    const bound = deadlineSeconds(stage.long)
    findings.note(
      `slowest answers: create ${slowest(creates).toFixed(1)} s, readyz ${slowest(ready).toFixed(1)} s, healthz ${slowest(alive).toFixed(1)} s`
    )
    findings.expect(late.length === 0, `${late.length} creates got ${late[0]?.status}, not 503`)
    findings.expect(
      slowest(creates) <= bound + 1.5,
      `a create was answered after ${slowest(creates).toFixed(1)} s, bound ${bound} s`
    )
    findings.expect(
      creates.every(({ retryAfter, status }) => status !== 503 || retryAfter !== null),
      "a 503 has no Retry-After"
    )
    findings.expect(slowest(ready) <= 3, `readyz was answered after ${slowest(ready).toFixed(1)} s, bound 2 s`)
    findings.expect(
      ready.slice(15).every(({ status }) => status === 503),
      "readyz answers 200"
    )
    findings.expect(
      alive.every(({ status }) => status === 200),
      "healthz was refused"
    )
    wake()
    const recovered = await recovers(stage, 15)
    findings.note(`works again ${after(recovered)}`)
    findings.expect(recovered !== undefined, "creates don't succeed 15 s after Postgres goes on")
  }
}

/** A kill from which the program must recover, or end. */
const survive = async (stage: Stage, what: string, kill: () => Promise<void>, seconds: number): Promise<void> => {
  const { findings, program } = stage
  await kill()
  // the processes of connections may outlive the postmaster for a moment
  for (let tries = 0; tries < 25 && (await createProbe(stage)).status === 200; tries++) await pause(200)
  const recovered = await recovers(stage, seconds)
  const { exitCode } = program.running.child
  findings.note(
    `${what}: works again ${after(recovered)}${program.running.isRunning() ? "" : `; ended with ${exitCode}`}`
  )
  const ended = !program.running.isRunning() && exitCode === 1
  findings.expect(recovered !== undefined || ended, `${what}: neither works again within ${seconds} s nor ends with 1`)
}

const killed: Scene = {
  name: "the embedded Postgres is killed",
  promise: "it is started again, or the program ends with 1",
  setup: embedded,
  own: true,
  bounds: judged,
  attack: async (stage) => {
    const seconds = stage.pick(20, 60)
    await survive(
      stage,
      "a connection's process killed",
      async () => signalAll((await serverOf(stage)).slice(-1), "SIGKILL"),
      seconds
    )
    for (let round = 0; round < stage.pick(1, 3) && stage.program.running.isRunning(); round++) {
      await survive(
        stage,
        "the postmaster killed",
        async () => signalAll([await postmasterOf(stage)], "SIGKILL"),
        seconds
      )
    }
  }
}

/** Which classes are nobody's fault but the database's. */
const codes = ["53000", "53100", "53200", "53300", "57P01", "57P02", "57P03", "58000", "58030"]

const sqlState: Scene = {
  name: "SQLSTATE 53, 57P, 58: the database can't",
  promise: "503 with Retry-After, UNAVAILABLE in RPC; reads and health go on",
  load: { kinds: ["REST get", "REST health", "gRPC get", "gRPC health"] },
  attack: async (stage) => {
    const { findings, sql } = stage
    await sql.query("create table abuse_sqlstate (code text)")
    await sql.query(`create function abuse_refuse() returns trigger language plpgsql as $$ begin
      raise exception 'refused by the abuse suite' using errcode = (select code from abuse_sqlstate);
    end $$`)
    await sql.query("create trigger abuse_refuse before insert on invoice for each row execute function abuse_refuse()")
    try {
      for (const code of codes) {
        await sql.query("delete from abuse_sqlstate")
        await sql.query("insert into abuse_sqlstate values ($1)", [code])
        const { retryAfter, seconds, status } = await createProbe(stage)
        findings.answered(`HTTP ${status}`)
        findings.expect(
          status === 503 && retryAfter !== null && seconds < 6.5,
          `${code}: HTTP ${status}, Retry-After ${retryAfter}, after ${seconds.toFixed(1)} s`
        )
        const session = await Sessions.open(stage)
        const bytes = Messages.framed(Messages.create())
        const answer = await Sessions.ask(stage, session, `${Messages.service}/Create`, { bytes })
        session.destroy()
        findings.expect(answer === "grpc 14", `${code}: ${answer}, expected grpc 14 (UNAVAILABLE)`)
      }
    } finally {
      await sql.query("drop trigger abuse_refuse on invoice")
      await sql.query("drop function abuse_refuse")
      await sql.query("drop table abuse_sqlstate")
    }
  }
}

/** Text that doesn't compress, so that a create fills the log of Postgres. */
const incompressible = (): string => randomBytes(3_000).toString("base64")

/** How many MB the file system has that the embedded Postgres fills. */
const diskMegabytes = 160

const diskFull: Scene = {
  name: "the disk of the embedded Postgres is full, then freed",
  promise: "503 while it is full; works again afterwards, or the program ends with 1",
  long: true,
  setup: () => ({ program: "embedded", disk: diskMegabytes }),
  own: true,
  bounds: judged,
  attack: async (stage) => {
    const { findings, program } = stage
    const filler = join(program.dataDir ?? "", "filler")
    const fill = (): Promise<unknown> =>
      promisify(execFile)("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k"]).catch(() => undefined)
    await fill()
    const refused: Array<Probe> = []
    const write = async (): Promise<void> => {
      for (const ends = performance.now() + 30_000; performance.now() < ends && refused.length < 200; ) {
        const answer = await createProbe(stage, incompressible())
        findings.answered(`HTTP ${answer.status}`)
        if (answer.status !== 200) refused.push(answer)
      }
    }
    await Promise.all([...Array.from({ length: 16 }, write), stage.hold(3).then(fill), stage.hold(6).then(fill)])
    findings.expect(refused.length > 0, "the disk was never full")
    const answers = refused
    const wrong = answers.filter(({ status }) => status !== 200 && status !== 503)
    findings.expect(wrong.length === 0, `${wrong.length} creates got ${wrong[0]?.status} while the disk was full`)
    await survive(stage, "the disk freed", async () => void (await promisify(execFile)("rm", [filler])), 60)
  }
}

export const scenes: ReadonlyArray<Scene> = [stopped, killed, sqlState, diskFull]
