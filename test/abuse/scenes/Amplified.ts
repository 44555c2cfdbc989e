/** Small requests with a great effect: on the answer, on the log, on the processor. */

import * as Frames from "../Http2Frames.ts"
import * as Messages from "../Messages.ts"
import { RawHttp2 } from "../RawHttp2.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Seeds from "../Seeds.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

/** A cursor that names transactions in progress, until it has so many characters. */
const longCursor = (characters: number): string => `700:705:${"702,".repeat(characters / 4)}702`

/** Watches on a raw connection that reads all it can. Answers the bytes of data that came. */
const watchBytes = async (stage: Stage, start: Uint8Array, seconds: number): Promise<number> => {
  const connection = await RawHttp2.open(stage.program.grpc, {
    settings: [[Frames.settings.initialWindowSize, 2 ** 31 - 1]]
  })
  stage.later(() => connection.close())
  const { flags, frame, numbered, types } = Frames
  const message = Messages.framed(start)
  await connection.send(
    Buffer.concat([
      numbered(types.windowUpdate, 0, 2 ** 31 - 1 - 65_535),
      frame(types.headers, flags.endHeaders, 1, Frames.callHeaders(`${Messages.service}/Watch`))
    ])
  )
  for (let at = 0; at < message.length && connection.isOpen; at += 16_384) {
    const part = message.subarray(at, at + 16_384)
    await connection.send(frame(types.data, at + 16_384 >= message.length ? flags.endStream : 0, 1, part))
    // more than the server's window before it has been enlarged would be an error of the protocol
    if (at >= 32_768) await stage.hold(0.005)
  }
  await stage.hold(seconds)
  connection.close()
  return connection.dataBytes
}

const cursors: Scene = {
  name: "cursors that are long or wrong",
  promise: "INVALID_ARGUMENT above 1 kB; a long cursor doesn't make the answer long, nor the log",
  prepare: (stage) => Seeds.createdEvents(stage.sql, stage.pick(5_000, 50_000)),
  attack: async (stage) => {
    const { findings, program } = stage
    const session = await Sessions.open(stage)
    const refused = async (name: string, method: string, field: number, cursor: string): Promise<void> => {
      const bytes = Messages.framed(Messages.field(field, cursor))
      const answer = await Sessions.ask(stage, session, `${Messages.service}/${method}`, { bytes, seconds: 3 })
      findings.expect(answer === "grpc 3", `${name}: ${answer}, expected grpc 3 (INVALID_ARGUMENT)`)
    }
    await refused("a watch behind 1:1:1", "Watch", 1, "1:1:1")
    await refused("a watch behind a cursor of 2 kB", "Watch", 1, longCursor(2_000))
    await refused("a list behind a cursor of 2 kB", "List", 5, "x".repeat(2_000))
    const seconds = stage.pick(1, 10)
    // a long cursor of an earlier version may be read, but must not come back with every change
    const most = 4_096 + 2 * (await watchBytes(stage, Messages.watchFromBeginning, seconds))
    for (const characters of [16_000, 1_000_000]) {
      const bytes = await watchBytes(stage, Messages.field(1, longCursor(characters)), seconds)
      const text = `a watch behind a cursor of ${characters} characters is answered with ${bytes} bytes`
      findings.note(text)
      findings.expect(bytes <= most, `${text}, bound ${most}: twice what a watch from the beginning gets`)
    }
    await refused("a list behind a cursor of 900 kB", "List", 5, "x".repeat(900_000))
    const longest = program.longestLine()
    findings.expect(longest <= 4_096, `a log line of ${longest} characters, bound 4,096`)
  }
}

/** Characters of the names and values of the trailers, and the bytes of the details, of an answer to faulty lines. */
const faultDetails = async (stage: Stage, lines: number, text: string) => {
  const session = await Sessions.open(stage)
  let all = 0
  let details = 0
  const bytes = Messages.framed(Messages.create({ lines, quantity: text, total: text }))
  const answer = await new Promise<string>((resolve) => {
    const stream = Sessions.call(stage, session, `${Messages.service}/Create`, {
      bytes,
      follow: false,
      answered: resolve
    })
    const measure = (headers: object): void => {
      for (const [name, value] of Object.entries(headers)) {
        all += name.length + String(value).length
        if (name === "grpc-status-details-bin") details = Math.floor((String(value).length * 3) / 4)
      }
    }
    stream?.once("response", measure)
    stream?.once("trailers", measure)
  })
  session.destroy()
  return { answer, all, details }
}

const details: Scene = {
  name: "faults without number",
  promise: "INVALID_ARGUMENT with ≤ 4 kB of details, metadata ≤ 8 kB as gRPC's clients allow",
  attack: async (stage) => {
    for (const [lines, text] of [
      [10, "ten"],
      [33, "ten"],
      [1_000, "ten"],
      [50, "€".repeat(64)]
    ] as const) {
      const { all, answer, details } = await faultDetails(stage, lines, text)
      const found = `${lines} faulty lines: ${answer}, ${all} bytes of metadata, ${details} of details`
      stage.findings.note(found)
      stage.findings.expect(answer === "grpc 3" && all <= 8_192 && details <= 4_096, found)
    }
  }
}

const empty = (count: number, one: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => one(index)).join(",")
const arrays = `{"invoice":[${empty(500_000, () => "1")}]}`
const keys = `{"invoice":{${empty(80_000, (index) => `"k${index}":1`)}}}`
const nested = `${"[".repeat(400_000)}${"]".repeat(400_000)}`

interface Costly {
  readonly name: string
  readonly path: string
  readonly text: string
}

const costly: ReadonlyArray<Costly> = [
  { name: "[1,1,…]", path: "/api/invoice/create", text: arrays },
  { name: "[1,1,…] to Connect", path: `${Messages.service}/Create`, text: arrays },
  { name: "[[[[…", path: "/api/invoice/create", text: nested },
  { name: "80,000 members", path: "/api/invoice/create", text: keys },
  { name: "80,000 members to Connect", path: `${Messages.service}/Create`, text: keys }
]

const inflated: Scene = {
  name: "a megabyte of elements in 1 kB of gzip",
  promise: "≤ 20 ms of CPU a request",
  // few, since their cost is counted too
  load: { everyMillis: 1_000 },
  attack: async (stage) => {
    const { findings } = stage
    for (const { name, path, text } of costly) {
      const request = Sockets.request(path, Sockets.gzip(text), { headers: Sockets.gzipped })
      const count = stage.pick(8, 100)
      const cpu = stage.cpu()
      for (let index = 0; index < count; index++) {
        const { status } = await Sockets.exchange(stage, request)
        findings.answered(`HTTP ${status}`)
        findings.expect(status >= 400 && status < 500, `${name} is answered with ${status}`)
      }
      const millis = (1_000 * (stage.cpu() - cpu)) / count
      findings.note(`${name}: ${request.length} bytes cost ${millis.toFixed(0)} ms of CPU`)
      findings.expect(millis <= 20, `${name} costs ${millis.toFixed(0)} ms of CPU a request, bound 20`)
    }
  }
}

const verdictLog: Scene = {
  name: "an invoice with 1,000 violations",
  promise: "a log line stays ≤ 4 kB",
  setup: () => ({ program: "up" }),
  attack: async (stage) => {
    const session = await Sessions.open(stage)
    const bytes = Messages.framed(Messages.create({ lines: 1_000, quantity: "2" }))
    const answer = await Sessions.ask(stage, session, `${Messages.service}/Create`, { bytes })
    stage.findings.answered(answer)
    const { longestLine, printed } = stage.program
    await stage.hold(10, () => printed().includes("invoice rejected"))
    // the line may come in parts
    await stage.hold(0.2)
    stage.findings.note(`the longest log line has ${longestLine()} characters`)
    stage.findings.expect(printed().includes("invoice rejected"), "the rejection is not logged")
    stage.findings.expect(longestLine() <= 4_096, `a log line of ${longestLine()} characters, bound 4,096`)
  }
}

export const scenes: ReadonlyArray<Scene> = [cursors, details, inflated, verdictLog]
