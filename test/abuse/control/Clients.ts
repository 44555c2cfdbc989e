/** Good clients: REST over HTTP/1.1 with kept connections, and gRPC over one HTTP/2 session. */
import { randomUUID } from "node:crypto"
import { Agent, request } from "node:http"
import { type ClientHttp2Session, connect } from "node:http2"
import * as Messages from "../Messages.ts"

/** How long a good client waits for an answer. */
export const patienceMillis = 6_000

/** What came of a request: a status, or what went wrong with the connection. */
export interface Answer {
  readonly text: string
  readonly ok: boolean
}

export interface Clients {
  /** Each kind of request. */
  readonly kinds: Readonly<Record<Kind, () => Promise<Answer>>>
  readonly close: () => void
}

export const kinds = ["REST create", "REST get", "REST health", "gRPC create", "gRPC get", "gRPC health"] as const
export type Kind = (typeof kinds)[number]

const codeOf = (error: Error): string => ("code" in error ? String(error.code) : error.message)

type Authorization = { readonly authorization?: string }

const restClient = (base: string, authorization: Authorization) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const send = (method: string, path: string, body?: string): Promise<Answer> =>
    new Promise((resolve) => {
      const fail = (error: Error): void => resolve({ text: codeOf(error), ok: false })
      const sent = request(new URL(path, base), {
        agent,
        method,
        headers: { ...authorization, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        signal: AbortSignal.timeout(patienceMillis)
      })
      sent.once("error", fail)
      sent.once("response", (response) => {
        const { statusCode = 0 } = response
        response.once("error", fail)
        response.once("end", () => resolve({ text: `${statusCode}`, ok: statusCode === 200 }))
        response.resume()
      })
      sent.end(body)
    })
  return { send, close: () => agent.destroy() }
}

const grpcClient = (base: string, authorization: Authorization) => {
  let session: ClientHttp2Session | undefined
  const open = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = connect(base)
    // each of its streams reports the failure
    opened.on("error", () => {})
    opened.once("goaway", () => {
      if (session === opened) session = undefined
      opened.close()
    })
    session = opened
    return opened
  }
  const call = (path: string, message: Uint8Array): Promise<Answer> =>
    new Promise((resolve) => {
      const stream = open().request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        ...authorization
      })
      let status: string | undefined
      const settle = (text: string): void => {
        clearTimeout(late)
        resolve({ text, ok: text === "0" })
      }
      const late = setTimeout(() => {
        settle("timeout")
        stream.close()
      }, patienceMillis)
      stream.once("error", (error) => settle(codeOf(error)))
      stream.once("response", (headers) => {
        status ??= headers["grpc-status"]?.toString()
      })
      stream.once("trailers", (trailers) => {
        status ??= trailers["grpc-status"]?.toString()
      })
      stream.once("close", () => settle(status ?? `RST ${stream.rstCode}`))
      stream.resume()
      stream.end(Messages.framed(message))
    })
  return { call, close: () => session?.destroy() }
}

const document = (id: string): string =>
  JSON.stringify({
    invoice: {
      id,
      customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
      amount: "10.00",
      currency: "USD",
      items: [{ description: "x", quantity: 1, unit_price: "10.00", total: "10.00" }]
    }
  })

export interface Options {
  readonly api: string
  readonly grpc: string
  /** The id of an invoice that is stored. */
  readonly known: string
  /** Empty for none. */
  readonly token: string
}

export const make = ({ api, grpc, known, token }: Options): Clients => {
  const authorization = token === "" ? {} : { authorization: `Bearer ${token}` }
  const rest = restClient(api, authorization)
  const rpc = grpcClient(grpc, authorization)
  return {
    kinds: {
      "REST create": () => rest.send("POST", "/api/invoice/create", document(randomUUID())),
      "REST get": () => rest.send("POST", "/api/invoice/get", JSON.stringify({ id: known })),
      "REST health": () => rest.send("GET", "/readyz"),
      "gRPC create": () => rpc.call(`${Messages.service}/Create`, Messages.create()),
      "gRPC get": () => rpc.call(`${Messages.service}/Get`, Messages.get(known)),
      "gRPC health": () => rpc.call("/grpc.health.v1.Health/Check", Buffer.alloc(0))
    },
    close: () => {
      rest.close()
      rpc.close()
    }
  }
}
