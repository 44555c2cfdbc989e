/** Requests whose body never ends. */
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Sessions from "../Sessions.ts"
import { bodySeconds, shortDeadlines } from "../Settings.ts"
import * as Sockets from "../Sockets.ts"

/** Nearly a whole message of the greatest size. */
const size = 1_048_576
const part = Buffer.alloc(size - 8_192)
const head = Buffer.from([0, 0, 0x10, 0, 0])
/** Seconds beyond a deadline in which a program that looks only now and then has noticed it. */
const slack = 6

/** Waits until the program has ended all of them, and says when it doesn't. */
const expectEnds = async (stage: Stage): Promise<void> => {
  const seconds = bodySeconds(stage.long) + slack
  const { findings } = stage
  await stage.hold(seconds, () => findings.open === 0)
  if (!stage.enough.aborted)
    findings.expect(findings.open === 0, `${findings.open} bodies are still awaited after ${seconds} s`)
}

const http2: Scene = {
  name: "bodies that never end, HTTP/2",
  promise: "memory ≤ +150 MB, the body's deadline ends them",
  setup: (long) => ({ env: shortDeadlines(long) }),
  attack: async (stage) => {
    const sessions = await Promise.all([Sessions.open(stage), Sessions.open(stage)])
    for (let index = 0; index < stage.pick(250, 1_000); index++) {
      for (const session of sessions) {
        Sessions.call(stage, session, `${Messages.service}/Create`, { bytes: head, end: false })?.write(part)
      }
    }
    await expectEnds(stage)
  }
}

const http1: Scene = {
  name: "bodies that never end, HTTP/1.1",
  promise: "memory ≤ +150 MB, the body's deadline ends them",
  setup: (long) => ({ env: shortDeadlines(long) }),
  attack: async (stage) => {
    const start = Sockets.request("/api/invoice/create", part, { headers: { "content-length": size } })
    for (let index = 0; index < stage.pick(300, 1_000) && !stage.enough.aborted; index++) {
      const socket = await Sockets.open(stage)
      stage.findings.follow(socket)
      Sockets.hear(stage, socket)
      socket.write(start)
    }
    await expectEnds(stage)
  }
}

/** Bodies of a few bytes, of which another comes now and then: cheap, and many. */
const dribble = async (stage: Stage, path: string, count: number): Promise<ReadonlyArray<() => void>> => {
  const start = Sockets.request(path, "{", { headers: { "content-length": 1_000 } })
  const sockets = await Promise.all(Array.from({ length: count }, () => Sockets.open(stage)))
  return sockets.map((socket) => {
    stage.findings.follow(socket)
    Sockets.hear(stage, socket)
    socket.write(start)
    return () => void (socket.writable && socket.write(" "))
  })
}

const dribbleHttp2 = async (stage: Stage, count: number): Promise<ReadonlyArray<() => void>> => {
  const sessions = await Promise.all(Array.from({ length: Math.ceil(count / 900) }, () => Sessions.open(stage)))
  return Array.from({ length: count }, (_, index) => {
    const session = sessions[index % sessions.length]
    const stream =
      session === undefined
        ? undefined
        : Sessions.call(stage, session, `${Messages.service}/Create`, { bytes: head, end: false })
    return () => void (stream?.writable === true && stream.write(Buffer.alloc(1)))
  })
}

/** As many of each as the program may have in hand at once, and some. */
const slots = (long: boolean): number => (long ? 2_000 : 100)

const many = (name: string, begin: (stage: Stage, count: number) => Promise<ReadonlyArray<() => void>>): Scene => ({
  name,
  promise: "health is never refused, creates go on: a slot of handling is taken when the body is in",
  setup: (long) => ({ env: { ...shortDeadlines(long), HTTP_MAX_IN_FLIGHT: `${slots(long)}` } }),
  attack: async (stage) => {
    const more = await begin(stage, Math.ceil(1.1 * slots(stage.long)))
    for (let second = 0; second < stage.pick(2, 20) && !stage.enough.aborted; second++) {
      for (const send of more) send()
      await stage.hold(1)
    }
  }
})

export const scenes: ReadonlyArray<Scene> = [
  http2,
  http1,
  many("more slow bodies than requests in hand, REST", (stage, count) => dribble(stage, "/api/invoice/create", count)),
  many("more slow bodies than requests in hand, RPC", dribbleHttp2),
  {
    ...many("more slow bodies than requests in hand, Connect", (stage, count) =>
      dribble(stage, `${Messages.service}/Create`, count)
    ),
    long: true
  }
]
