/** Requests that are wrong in a way that a client could repeat a thousand times: an answer says why, and none is 5xx. */
import { randomUUID } from "node:crypto"
import * as Programs from "../../programs/Programs.ts"
import * as Messages from "../Messages.ts"
import type { Scene, Stage } from "../Scene.ts"
import * as Sessions from "../Sessions.ts"
import * as Sockets from "../Sockets.ts"

interface Case {
  readonly name: string
  /** The answer, such as `HTTP 400` or `grpc 3`. */
  readonly ask: (stage: Stage) => Promise<string>
  readonly wanted: RegExp
}

const { service } = Messages

const http =
  (bytes: () => Buffer) =>
  async (stage: Stage): Promise<string> =>
    `HTTP ${(await Sockets.exchange(stage, bytes(), 5)).status}`

const post = (path: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): Case["ask"] =>
  http(() => Sockets.request(path, body, { headers }))

const grpc =
  (method: string, bytes: () => Uint8Array, headers: Readonly<Record<string, string>> = {}): Case["ask"] =>
  async (stage) => {
    const session = await Sessions.open(stage)
    const answer = await Sessions.ask(stage, session, `${service}/${method}`, { bytes: bytes(), headers, seconds: 5 })
    session.destroy()
    return answer
  }

const invoice = (more = ""): string =>
  `{"invoice":{"id":"${randomUUID()}","customer_id":"c78aef21-ae9f-4561-a2c9-3b7a7ea2f990","amount":"10.00","currency":"USD",${more}"items":[{"description":"x","quantity":"1","unit_price":"10.00","total":"10.00"}]}}`

const compressedFlag = (message: Uint8Array): Buffer => {
  const bytes = Messages.framed(message)
  bytes.writeUInt8(1, 0)
  return bytes
}

/** "x" replaced by a byte that begins no character. */
const notUtf8 = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  bytes[bytes.indexOf('"x"') + 1] = 0xff
  return bytes
}

const twoHosts = (): Buffer =>
  Buffer.from("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n")
const getCall = (query: string): Case["ask"] =>
  http(() => Buffer.from(`GET ${service}/Get?${query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`))

const cases: ReadonlyArray<Case> = [
  {
    name: "a list by the currency NUL",
    ask: post(`${service}/List`, '{"currency":"\\u0000"}'),
    wanted: /^HTTP (200|400)$/u
  },
  {
    name: "a list by a currency with NUL, gRPC",
    ask: grpc("List", () => Messages.framed(Messages.field(3, "U\0D"))),
    wanted: /^grpc [03]$/u
  },
  {
    name: "malformed protobuf, gRPC",
    ask: grpc("Create", () => Messages.framed(Buffer.alloc(4, 0xff))),
    wanted: /^grpc 3$/u
  },
  {
    name: "malformed protobuf, Connect",
    ask: post(`${service}/Create`, Buffer.alloc(4, 0xff), { "content-type": "application/proto" }),
    wanted: /^HTTP 400$/u
  },
  {
    name: "text that is not UTF-8, protobuf",
    ask: grpc("Create", () => Messages.framed(Buffer.from([0x0a, 3, 0x0a, 1, 0xff]))),
    wanted: /^grpc 3$/u
  },
  {
    name: "gzip that is none, gRPC",
    ask: grpc("Create", () => compressedFlag(Buffer.from("garbage")), { "grpc-encoding": "gzip" }),
    wanted: /^grpc 3$/u
  },
  {
    name: "truncated gzip, gRPC",
    ask: grpc("Create", () => compressedFlag(Sockets.gzip(invoice()).subarray(0, -9)), { "grpc-encoding": "gzip" }),
    wanted: /^grpc 3$/u
  },
  {
    name: "truncated gzip, Connect",
    ask: post(`${service}/Create`, Sockets.gzip(invoice()).subarray(0, -9), Sockets.gzipped),
    wanted: /^HTTP 400$/u
  },
  {
    name: "truncated gzip, REST",
    ask: post("/api/invoice/create", Sockets.gzip(invoice()).subarray(0, -9), Sockets.gzipped),
    wanted: /^HTTP 400$/u
  },
  {
    name: "bad base64 in a GET of Connect",
    ask: getCall("encoding=proto&base64=1&message=@@@@&connect=v1"),
    wanted: /^HTTP 400$/u
  },
  { name: "bad JSON in a GET of Connect", ask: getCall("encoding=json&message={&connect=v1"), wanted: /^HTTP 400$/u },
  {
    name: "JSON that is not UTF-8, REST",
    ask: (stage) => post("/api/invoice/create", notUtf8(invoice()))(stage),
    wanted: /^HTTP 400$/u
  },
  {
    name: "JSON that is not UTF-8, Connect",
    ask: (stage) => post(`${service}/Create`, notUtf8(invoice()))(stage),
    wanted: /^HTTP 400$/u
  },
  {
    name: "the longest grpc-timeout",
    ask: (stage) =>
      grpc("Get", () => Messages.framed(Messages.get(stage.program.known)), { "grpc-timeout": "99999999H" })(stage),
    wanted: /^grpc 0$/u
  },
  {
    name: "a member twice, REST",
    ask: (stage) => post("/api/invoice/create", invoice('"amount":"99.00",'))(stage),
    wanted: /^HTTP 400$/u
  },
  {
    name: "a member twice, Connect",
    ask: (stage) => post(`${service}/Create`, invoice('"amount":"99.00",'))(stage),
    wanted: /^HTTP 400$/u
  },
  { name: "two hosts", ask: http(twoHosts), wanted: /^HTTP 400$/u },
  {
    name: "a message twice in a unary call",
    ask: (stage) =>
      grpc("Get", () => {
        const one = Messages.framed(Messages.get(stage.program.known))
        return Buffer.concat([one, one])
      })(stage),
    wanted: /^grpc (3|12)$/u
  },
  {
    name: "a message that ends early",
    ask: grpc("Create", () => Buffer.from([0, 0, 0, 0, 100, 1, 2])),
    wanted: /^grpc 3$/u
  },
  {
    name: "a message of 4 GB, as its prefix says",
    ask: grpc("Create", () => Buffer.from([0, 255, 255, 255, 255, 1])),
    wanted: /^grpc (3|8)$/u
  }
]

const requests: Scene = {
  name: "malformed requests",
  promise: "each is refused with the reason, none is our failure",
  attack: async (stage) => {
    const { findings, program } = stage
    const logged = program.printed().length
    for (const { ask, name, wanted } of cases) {
      const answer = await ask(stage)
      findings.expect(wanted.test(answer), `${name}: ${answer}, expected ${wanted.source}`)
    }
    const text = program.printed().slice(logged)
    findings.expect(
      !text.includes("node_modules"),
      `a stack trace is logged: ${text.slice(text.indexOf("node_modules") - 100, text.indexOf("node_modules") + 40)}`
    )
    const longest = program.longestLine()
    findings.expect(longest <= 4_096, `a log line of ${longest} characters, bound 4,096`)
  }
}

const databaseUrls = [
  "postgres://user:secret@localhost:port/invoice",
  "localhost",
  "postgres://user:se%cret@localhost:1/invoice"
]

const databaseUrl: Scene = {
  name: "a malformed DATABASE_URL",
  promise: "the program ends at once and says why",
  // starting programs takes the processor from everybody
  bounds: { p99: undefined },
  attack: async ({ findings, hold, later }) => {
    const startedAt = performance.now()
    const endings = new Map<string, string>()
    for (const url of databaseUrls) {
      void Programs.start("api", { DATABASE_URL: url }).then(
        (running) => {
          endings.set(url, "started")
          later(() => void running.signal("SIGKILL"))
        },
        (error: Error) => {
          endings.set(url, error.message)
          findings.note(`${url}: ended after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
        }
      )
    }
    await hold(40, () => endings.size === databaseUrls.length)
    for (const url of databaseUrls) {
      const ending = endings.get(url)
      findings.expect(ending !== undefined && ending !== "started", `${url}: still tried after 40 s`)
      findings.expect(ending?.includes("secret") !== true, "the password is printed")
    }
  }
}

export const scenes: ReadonlyArray<Scene> = [requests, databaseUrl]
