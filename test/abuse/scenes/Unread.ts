/** Clients that ask for much and never read the answer. */
import { pause } from "../../programs/Waiting.ts"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Seeds from "../Seeds.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

/** How long a write may make no progress, and some in which a program has noticed it. */
const stallSeconds = 15 + 6

/** Holds what is open. In the long form waits until the program has given up all of it. */
const holdUnread = async (stage: Stage): Promise<void> => {
  const { findings } = stage
  await stage.hold(stage.pick(2, stallSeconds), () => findings.open === 0)
  if (stage.long && !stage.enough.aborted)
    findings.expect(
      findings.open === 0,
      `${findings.open} answers that nobody reads are still held after ${stallSeconds} s`
    )
}

/** The huge invoice of a scene, which `prepare` makes. */
const huge = (copies: (long: boolean) => number, description?: string) => {
  let id = ""
  return {
    id: () => id,
    prepare: async (stage: Stage): Promise<void> => {
      id = await Seeds.hugeInvoice(stage, description)
      await Seeds.cloneInvoice(stage.sql, id, copies(stage.long))
    }
  }
}

const got = huge(() => 0)
const gets: Scene = {
  name: "gets of 1 MB at window 0",
  promise: "memory ≤ +150 MB, a stalled write ends the stream",
  prepare: got.prepare,
  attack: async (stage) => {
    const session = await Sessions.open(stage, { window: 0 })
    const bytes = Messages.framed(Messages.get(got.id()))
    let begun = 0
    for (let index = 0; index < stage.pick(250, 1_000); index++) {
      const stream = Sessions.call(stage, session, `${Messages.service}/Get`, { bytes, read: false })
      stream?.once("response", () => begun++)
    }
    await stage.settled(20, () => begun)
    await holdUnread(stage)
  }
}

const piped = huge(() => 0)
const pipelined: Scene = {
  name: "pipelined gets of 1 MB, never read",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB, a stalled write ends the connection",
  prepare: piped.prepare,
  attack: async (stage) => {
    const request = Sockets.request("/api/invoice/get", JSON.stringify({ id: piped.id() }), { close: false })
    const requests = Buffer.concat(Array.from({ length: 20 }, () => request))
    for (let index = 0; index < stage.pick(30, 100) && !stage.enough.aborted; index++) {
      const socket = await Sockets.open(stage)
      stage.findings.follow(socket)
      // without a listener for data nothing is read: the system's buffers fill, then the program's
      socket.pause()
      socket.write(requests)
      // who doesn't read learns of the connection's end from a write that fails
      const writing = setInterval(() => void (socket.writable && socket.write("\r\n")), 300)
      socket.once("close", () => clearInterval(writing))
    }
    await holdUnread(stage)
  }
}

const listed = huge((long) => (long ? 220 : 70))
const pages: Scene = {
  name: "lists of huge invoices",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "a page is ≤ 4 MB and one invoice; no 500; memory ≤ +150 MB",
  prepare: listed.prepare,
  attack: async (stage) => {
    const { findings } = stage
    const request = Sockets.request(`${Messages.service}/List`, JSON.stringify({ limit: 200 }))
    const { bytes, status } = await Sockets.exchange(stage, request, 30)
    findings.answered(`HTTP ${status}`)
    findings.note(`a body of 13 bytes is answered with ${(bytes / 1e6).toFixed(1)} MB`)
    // JSON of 1 MB of protobuf is 1.1 MB
    findings.expect(bytes <= 5_500_000, `a page of ${(bytes / 1e6).toFixed(1)} MB`)
    findings.expect(status === 200, `a list is answered with ${status}`)
    const sockets = await Promise.all(Array.from({ length: 8 }, () => Sockets.open(stage)))
    for (const socket of sockets) {
      socket.pause()
      socket.write(request)
    }
    await stage.hold(stage.pick(2, 20))
  }
}

const escaped = huge((long) => (long ? 220 : 30), "\u0001".repeat(1_000))
const escapes: Scene = {
  name: "lists of huge invoices that JSON makes greater",
  promise: "a page is ≤ 4 MB and one invoice; no 500; memory ≤ +150 MB",
  long: true,
  prepare: escaped.prepare,
  attack: async (stage) => {
    const { findings } = stage
    const request = Sockets.request(`${Messages.service}/List`, JSON.stringify({ limit: 200 }))
    const answers = await Promise.all(Array.from({ length: 4 }, () => Sockets.exchange(stage, request, 60)))
    for (const { bytes, status } of answers) {
      findings.answered(`HTTP ${status}`)
      findings.expect(status === 200, `a list is answered with ${status}`)
      findings.expect(bytes <= 11_000_000, `a page of ${(bytes / 1e6).toFixed(1)} MB`)
    }
  }
}

const imports: Scene = {
  name: "imports whose results nobody reads",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB: reading stops, then the stream ends",
  attack: async (stage) => {
    const message = (): Buffer =>
      Messages.framed(Messages.create({ lines: 20, description: "d".repeat(500), amount: "200" }))
    const ends = performance.now() + stage.pick(3, 30) * 1_000
    const pump = async (): Promise<void> => {
      const session = await Sessions.open(stage, { window: 0 })
      const stream = Sessions.call(stage, session, `${Messages.service}/Import`, { end: false, read: false })
      while (stream?.writable === true && performance.now() < ends && !stage.enough.aborted) {
        if (!stream.write(message())) {
          await stage.hold(0.5, () => !stream.writableNeedDrain || stream.closed)
        }
        await pause(2)
      }
    }
    await Promise.all(Array.from({ length: stage.pick(20, 50) }, pump))
  }
}

const lines: Scene = {
  name: "imports of lines whose results nobody reads",
  // its memory is near the bound or above it: docs/guides/abuse.md
  long: true,
  promise: "memory ≤ +150 MB: reading stops, then the connection ends",
  attack: async (stage) => {
    const line = (): string => {
      const item = { description: "d".repeat(500), quantity: 1, unit_price: "10.00", total: "10.00" }
      const items = Array.from({ length: 20 }, () => item)
      const customer = "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990"
      return `${JSON.stringify({ id: crypto.randomUUID(), customer_id: customer, amount: "200.00", currency: "USD", items })}\n`
    }
    const headers = { "content-type": "application/x-ndjson", "content-length": 1_000_000_000 }
    const ends = performance.now() + stage.pick(3, 30) * 1_000
    const pump = async (): Promise<void> => {
      const socket = await Sockets.open(stage)
      stage.findings.follow(socket)
      socket.pause()
      socket.write(Sockets.request("/v1/invoices:import", "", { headers }))
      while (socket.writable && performance.now() < ends && !stage.enough.aborted) {
        if (!socket.write(line())) await stage.hold(0.5, () => !socket.writableNeedDrain || socket.destroyed)
        await pause(2)
      }
    }
    await Promise.all(Array.from({ length: stage.pick(20, 50) }, pump))
  }
}

export const scenes: ReadonlyArray<Scene> = [gets, pipelined, pages, escapes, imports, lines]
