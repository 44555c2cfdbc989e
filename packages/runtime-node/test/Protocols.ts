/** The same request in the words of each protocol, and its answer in words that can be compared. */
import { type ClientRequest, type IncomingHttpHeaders, request } from "node:http"
import { connect } from "node:http2"

export interface Refused {
  /** The status of HTTP, or the one that the protocol's own code stands for. */
  readonly status: number
  readonly challenge: string
  readonly retryAfter: string
  /** Everything that came, headers too. */
  readonly all: string
}

/** Names and values in turn, so that a header can come twice. */
export type Headers = ReadonlyArray<string>

export interface Target {
  readonly api: string
  readonly grpc: string
  /** A path of REST, and one of RPC. */
  readonly rest: string
  readonly rpc: string
}

export const protocols = ["REST", "Connect", "Connect stream", "gRPC-Web", "gRPC"] as const
export type Protocol = (typeof protocols)[number]

interface Raw {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const overHttp1 = (url: string, path: string, contentType: string, headers: Headers, body: Buffer): Promise<Raw> =>
  new Promise((resolve, reject) => {
    const { host, hostname, port } = new URL(url)
    const sent: ClientRequest = request(
      {
        host: hostname,
        port,
        path,
        method: "POST",
        headers: ["host", host, "content-type", contentType, "content-length", String(body.length), ...headers]
      },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
        )
      }
    )
    sent.on("error", reject)
    sent.end(body)
  })

/** A client that sends a header twice where it may come once; the types of Node.js don't have this option yet. */
const careless = { strictSingleValueFields: false, peerMaxConcurrentStreams: 100 }

const overHttp2 = (url: string, path: string, headers: Headers, body: Buffer): Promise<Raw> =>
  new Promise((resolve, reject) => {
    const session = connect(url, careless)
    session.on("error", reject)
    const stream = session.request([
      ...[":method", "POST", ":path", path, ":scheme", "http", ":authority", new URL(url).host],
      ...["content-type", "application/grpc", "te", "trailers"],
      ...headers
    ])
    let received: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders = {}
    const chunks: Array<Buffer> = []
    stream.on("response", (answer) => {
      received = answer as IncomingHttpHeaders
    })
    stream.on("trailers", (answer) => {
      trailers = answer
    })
    stream.on("data", (chunk: Buffer) => chunks.push(chunk))
    stream.on("error", reject)
    stream.on("close", () => {
      session.close()
      resolve({
        status: Number((received as Record<string, unknown>)[":status"]),
        headers: { ...received, ...trailers },
        body: Buffer.concat(chunks)
      })
    })
    stream.end(body)
  })

const byGrpc: Readonly<Record<string, number>> = { "0": 200, "16": 401, "7": 403, "8": 429, "12": 404, "14": 503 }
const byConnect: Readonly<Record<string, number>> = {
  unauthenticated: 401,
  permission_denied: 403,
  resource_exhausted: 429,
  unimplemented: 404,
  unavailable: 503
}

const refused = ({ body, headers }: Raw, status: number): Refused => ({
  status,
  challenge: headers["www-authenticate"] ?? "",
  retryAfter: headers["retry-after"] ?? "",
  all: `${JSON.stringify(headers)}\n${body.toString("latin1")}`
})

/** The error of Connect's last envelope. */
const endOf = ({ body }: Raw): number => {
  if (body[0] !== 0b10 || body.readUInt32BE(1) !== body.length - 5) return 0
  const { error } = JSON.parse(body.subarray(5).toString("utf8")) as { error?: { code: string } }
  return error === undefined ? 200 : (byConnect[error.code] ?? 0)
}

const emptyMessage = Buffer.alloc(5)

export const ask = async (
  protocol: Protocol,
  { api, grpc, rest, rpc }: Target,
  headers: Headers,
  json = "{}"
): Promise<Refused> => {
  const body = Buffer.from(json)
  switch (protocol) {
    case "REST": {
      const raw = await overHttp1(api, rest, "application/json", headers, body)
      return refused(raw, raw.status)
    }
    case "Connect": {
      const raw = await overHttp1(api, rpc, "application/json", headers, body)
      return refused(raw, raw.status)
    }
    case "Connect stream": {
      const raw = await overHttp1(api, rpc, "application/connect+json", headers, emptyMessage)
      return refused(raw, raw.status === 200 ? endOf(raw) : raw.status)
    }
    case "gRPC-Web": {
      const raw = await overHttp1(api, rpc, "application/grpc-web+proto", headers, emptyMessage)
      return refused(raw, byGrpc[String(raw.headers["grpc-status"])] ?? 0)
    }
    case "gRPC": {
      const raw = await overHttp2(grpc, rpc, headers, emptyMessage)
      return refused(raw, raw.status === 200 ? (byGrpc[String(raw.headers["grpc-status"])] ?? 0) : raw.status)
    }
  }
}
