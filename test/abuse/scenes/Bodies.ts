/** Requests whose body never ends. */
import type { ClientHttp2Stream } from "node:http2"
import type { Socket } from "node:net"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

/** Nearly a whole message of the greatest size. */
const size = 1_048_576
const part = Buffer.alloc(size - 8_192)
const head = Buffer.from([0, 0, 0x10, 0, 0])
/** The deadline of a body, and some in which a program that looks only now and then has noticed it. */
const deadlineSeconds = 30 + 6

/** Waits until no more of it goes out, and holds what is open. In the long form waits for the deadline, which must have ended all of them. */
const holdBodies = async (stage: Stage, sent: () => number): Promise<void> => {
  const { findings } = stage
  await stage.settled(20, sent)
  await stage.hold(stage.pick(1, deadlineSeconds), () => findings.open === 0)
  if (stage.long && !stage.enough.aborted)
    findings.expect(findings.open === 0, `${findings.open} bodies are still awaited after ${deadlineSeconds} s`)
}

const http2: Scene = {
  name: "bodies that never end, HTTP/2",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB, the body's deadline ends them",
  attack: async (stage) => {
    const sessions = await Promise.all([Sessions.open(stage), Sessions.open(stage)])
    let sent = 0
    for (let index = 0; index < stage.pick(250, 1_000); index++) {
      for (const session of sessions) {
        Sessions.call(stage, session, `${Messages.service}/Create`, { bytes: head, end: false })?.write(
          part,
          () => sent++
        )
      }
    }
    await holdBodies(stage, () => sent)
  }
}

const http1: Scene = {
  name: "bodies that never end, HTTP/1.1",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB, the body's deadline ends them",
  attack: async (stage) => {
    const start = Sockets.request("/api/invoice/create", part, { headers: { "content-length": size } })
    let sent = 0
    for (let index = 0; index < stage.pick(300, 1_000) && !stage.enough.aborted; index++) {
      const socket = await Sockets.open(stage)
      stage.findings.follow(socket)
      Sockets.hear(stage, socket)
      socket.write(start, () => sent++)
    }
    await holdBodies(stage, () => sent)
  }
}

/** A body of a few bytes, of which another comes now and then; when the program ends it, another begins. */
type Dribble = (stage: Stage) => Promise<() => void>

const dribbleHttp1 =
  (path: string): Dribble =>
  async (stage) => {
    // the program's answer, 100 or another, shows that it has the request
    const start = Sockets.request(path, "{", { headers: { "content-length": 1_000, expect: "100-continue" } })
    const begin = async (): Promise<Socket> => {
      const socket = await Sockets.open(stage)
      stage.findings.follow(socket)
      Sockets.hear(stage, socket)
      socket.write(start)
      await new Promise<void>((resolve) => {
        socket.once("data", () => resolve())
        socket.once("close", () => resolve())
      })
      return socket
    }
    let socket = await begin()
    return () => {
      if (socket.writable) socket.write(" ")
      else
        void begin().then(
          (next) => (socket = next),
          () => {}
        )
    }
  }

const dribbleHttp2 =
  (method: string): Dribble =>
  async (stage) => {
    const session = await Sessions.open(stage)
    const streams: Array<ClientHttp2Stream | undefined> = []
    const begin = () => Sessions.call(stage, session, `${Messages.service}/${method}`, { bytes: head, end: false })
    for (let index = 0; index < 100; index++) streams.push(begin())
    // answered when the program has seen what was sent before
    await new Promise<void>((resolve) => {
      if (session.destroyed || !session.ping(() => resolve())) resolve()
    })
    return () => {
      for (const [index, stream] of streams.entries()) {
        if (stream?.writable === true) stream.write(Buffer.alloc(1))
        else streams[index] = begin()
      }
    }
  }

/** As many of each as the program may have in hand at once, and some. */
const slots = (long: boolean): number => (long ? 2_000 : 100)

/** @param each how many bodies one of them is */
const many = (name: string, dribble: Dribble, each: number): Scene => ({
  name,
  promise: "health is never refused, creates go on: a slot of handling is taken when the body is in",
  setup: (long) => ({ env: { HTTP_MAX_IN_FLIGHT: `${slots(long)}` } }),
  attack: async (stage) => {
    const count = Math.ceil((1.5 * slots(stage.long)) / each)
    const more = await Promise.all(Array.from({ length: count }, () => dribble(stage)))
    for (let round = 0; round < stage.pick(5, 60) && !stage.enough.aborted; round++) {
      for (const send of more) send()
      await stage.hold(0.3)
    }
  }
})

export const scenes: ReadonlyArray<Scene> = [
  http2,
  http1,
  many("more slow bodies than requests in hand, REST", dribbleHttp1("/api/invoice/create"), 1),
  many("more slow bodies than requests in hand, gRPC", dribbleHttp2("Create"), 100),
  many("more slow imports than requests in hand, gRPC", dribbleHttp2("Import"), 100),
  {
    ...many("more slow bodies than requests in hand, Connect", dribbleHttp1(`${Messages.service}/Create`), 1),
    long: true
  }
]
