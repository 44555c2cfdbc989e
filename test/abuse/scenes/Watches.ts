/** Watches: many, stalled, or from the beginning of a long history. */
import type { ClientHttp2Session } from "node:http2"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Seeds from "../Seeds.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

const path = `${Messages.service}/Watch`

/** How long a write may make no progress, and some in which a program has noticed it. */
const stallSeconds = 15 + 6

interface Watching {
  readonly start: Uint8Array
  readonly count: number
  /** Bytes that a watch takes before it is read; undefined to read. */
  readonly window?: number
}

/** Opens watches, at most 500 on a session. Answers their sessions, and how many have been answered with a message. */
const watch = async (stage: Stage, { count, start, window }: Watching) => {
  const sessions: Array<ClientHttp2Session> = []
  const heard = new Set<number>()
  for (let index = 0; index < count && !stage.enough.aborted; index++) {
    if (index % 500 === 0) sessions.push(await Sessions.open(stage, window === undefined ? {} : { window }))
    const session = sessions.at(-1)
    if (session === undefined) continue
    const bytes = Messages.framed(start)
    const stream = Sessions.call(stage, session, path, { bytes, read: window === undefined })
    if (window === undefined) stream?.once("data", () => heard.add(index))
  }
  return { sessions, heard: () => heard.size }
}

const fromBeginning: Scene = {
  name: "watches from the beginning of a long history",
  promise: "creates ≥ 80 % of before, health is served, memory ≤ +150 MB",
  load: { eager: 16 },
  bounds: { creates: 0.8 },
  prepare: (stage) => Seeds.createdEvents(stage.sql, stage.pick(30_000, 322_000)),
  attack: async (stage) => {
    const { heard } = await watch(stage, { start: Messages.watchFromBeginning, count: stage.pick(200, 500) })
    await stage.hold(stage.pick(3, 20))
    stage.findings.note(`${heard()} watches have got something`)
  }
}

const stalled: Scene = {
  name: "stalled watches over huge verdicts",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB, a stalled write ends the watch",
  prepare: (stage) => Seeds.hugeVerdicts(stage.sql, stage.pick(40, 200)),
  attack: async (stage) => {
    const { findings } = stage
    await watch(stage, { start: Messages.watchFromBeginning, count: stage.pick(40, 100), window: 0 })
    const seconds = stage.pick(3, stallSeconds)
    await stage.hold(seconds, () => findings.open === 0)
    if (stage.long && !stage.enough.aborted)
      findings.expect(
        findings.open === 0,
        `${findings.open} watches that nobody reads are still held after ${seconds} s`
      )
  }
}

const idle: Scene = {
  name: "idle watches",
  promise: "1,000 cost ≤ 5 % of a core",
  // creates would make every watch work
  load: { kinds: ["REST get", "REST health", "gRPC get", "gRPC health"], everyMillis: 250 },
  attack: async (stage) => {
    const seconds = stage.pick(2, 10)
    const startedAt = stage.cpu()
    await stage.hold(seconds)
    const without = (stage.cpu() - startedAt) / seconds
    const { heard } = await watch(stage, { start: Messages.watchFromNow, count: 1_000 })
    await stage.hold(20, () => heard() + stage.findings.lived.length === 1_000)
    await stage.hold(0.5)
    const openedAt = stage.cpu()
    await stage.hold(seconds)
    const share = (stage.cpu() - openedAt) / seconds - without
    const text = `1,000 idle watches cost ${(100 * share).toFixed(0)} % of a core`
    stage.findings.note(`${text}; the good clients cost ${(100 * without).toFixed(0)} %`)
    stage.findings.expect(share <= 0.05, `${text}, bound 5 %`)
    stage.findings.expect(heard() === 1_000, `${heard()} of 1,000 watches have begun`)
  }
}

/** As many requests as the program may have in hand at once, and some. */
const slots = (long: boolean): number => (long ? 2_000 : 100)

const many: Scene = {
  name: "more watches than requests in hand",
  promise: "creates and health go on: watches count on their own",
  setup: (long) => ({ env: { HTTP_MAX_IN_FLIGHT: `${slots(long)}` } }),
  load: { everyMillis: 250 },
  attack: async (stage) => {
    await watch(stage, { start: Messages.watchFromNow, count: Math.ceil(1.1 * slots(stage.long)) })
    await stage.hold(stage.pick(1.5, 10))
  }
}

const killed: Scene = {
  name: "watches whose clients are gone",
  promise: "they count as canceled, not as internal; nothing is logged as our fault",
  attack: async (stage) => {
    const { heard, sessions } = await watch(stage, { start: Messages.watchFromNow, count: 100 })
    await stage.hold(10, () => heard() === 100)
    const logged = stage.program.printed().length
    for (const session of sessions) session.destroy()
    let counts = ""
    const read = async (): Promise<void> => {
      const text = await (await fetch(`${stage.program.metrics}/metrics`)).text()
      counts = text
        .split("\n")
        .filter((line) => line.startsWith("rpc_requests_total") && line.includes('"Watch"'))
        .join(" ")
    }
    for (let tries = 0; tries < 20 && !/canceled|internal|unknown/u.test(counts); tries++) {
      await stage.hold(0.1)
      await read()
    }
    const codes = [...counts.matchAll(/code="(\w+)"/gu)].map(([, code = ""]) => code)
    for (const code of codes) stage.findings.answered(`counted as ${code}`)
    stage.findings.expect(
      !codes.includes("internal") && !codes.includes("unknown"),
      "killed watches count as our failure"
    )
    stage.findings.expect(codes.includes("canceled"), "killed watches are not counted as canceled")
    const text = stage.program.printed().slice(logged)
    stage.findings.expect(!/"level":"ERROR"|node_modules/u.test(text), `logged: ${text.slice(0, 200)}`)
  }
}

const events: Scene = {
  name: "server-sent events over huge verdicts, never read",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB, a stalled write ends the connection",
  prepare: (stage) => Seeds.hugeVerdicts(stage.sql, stage.pick(40, 200)),
  attack: async (stage) => {
    const { findings } = stage
    const request = Sockets.request("/v1/events?from=beginning", "", { method: "GET" })
    for (let index = 0; index < stage.pick(40, 100) && !stage.enough.aborted; index++) {
      const socket = await Sockets.open(stage)
      findings.follow(socket)
      // without a listener for data nothing is read: the system's buffers fill, then the program's
      socket.pause()
      socket.write(request)
      // who doesn't read learns of the connection's end from a write that fails
      const writing = setInterval(() => void (socket.writable && socket.write("\r\n")), 300)
      socket.once("close", () => clearInterval(writing))
    }
    const seconds = stage.pick(3, stallSeconds)
    await stage.hold(seconds, () => findings.open === 0)
    if (stage.long && !stage.enough.aborted)
      findings.expect(findings.open === 0, `${findings.open} streams of events are still held after ${seconds} s`)
  }
}

export const scenes: ReadonlyArray<Scene> = [fromBeginning, stalled, events, idle, many, killed]
