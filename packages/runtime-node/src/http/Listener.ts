/**
 * A port for HTTP/1.1, HTTP/2 or both. With TLS, ALPN decides the protocol of a connection; without TLS, its first
 * bytes do. A stop accepts no more connections, finishes the requests in hand, and in the end closes what is left.
 * What clients may make the process hold is bounded by `BoundedMessages` and `Pipeline`.
 */
import { createServer as createHttp1, type RequestListener } from "node:http"
import { createServer as createHttp2, type ServerHttp2Session } from "node:http2"
import { type AddressInfo, createServer as createTcp, type Socket } from "node:net"
import { createServer as createTls } from "node:tls"
import { Effect, Schema, type Scope } from "effect"
import type { Address } from "../Config.ts"
import * as BoundedMessages from "./BoundedMessages.ts"
import * as MessageFraming from "./MessageFraming.ts"
import { Pipeline } from "./Pipeline.ts"
import { StreamResets } from "./StreamResets.ts"

/** The port can't be listened on. */
export class CannotListen extends Schema.TaggedError<CannotListen>()("CannotListen", { reason: Schema.String }) {
  override get message(): string {
    return `can't listen: ${this.reason}`
  }
}

export interface Options {
  readonly address: Address
  /** `any`: with TLS, ALPN decides for each connection; without TLS, its first bytes do. */
  readonly speaks: "http1" | "http2" | "any"
  /** Certificate and key in PEM, for TLS. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** How long a connection may be idle, in milliseconds. */
  readonly idleMillis: number
  /** How long a stop waits for requests in hand, in milliseconds. */
  readonly stopMillis: number
  /** What the clients of all ports may make the process hold. Default: budgets of its own. */
  readonly budgets?: BoundedMessages.Budgets
  /** Paths whose requests are streams of messages, so that they may take longer than a body. Default: none. */
  readonly streamed?: ReadonlySet<string>
  /** Called when a stop begins, to end the streams that would not end by themselves. */
  readonly onStop?: () => void
}

/** What an HTTP/2 connection begins with (RFC 9113, 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1")

/** How long a client may take to send the first bytes of a connection, or the headers of a request. */
const headersMillis = 10_000

/** How often the deadlines of bodies and answers are looked at. */
const sweepMillis = 1_000

/** How long a stop leaves connections of HTTP/1.1 open that have no request: one may be on its way. */
const lingerMillis = 500

/** Undefined while the bytes fit both protocols. No method of HTTP/1.1 begins with `PRI `. */
const isHttp2 = (bytes: Buffer): boolean | undefined => {
  const decisive = Math.min(bytes.length, preface.length)
  return preface.subarray(0, decisive).equals(bytes.subarray(0, decisive))
    ? decisive === preface.length || undefined
    : false
}

/** Reads until the first bytes show the protocol, and puts back what was read. */
const sniff = (socket: Socket, millis: number, decided: (http2: boolean) => void): void => {
  let seen = Buffer.alloc(0)
  const giveUp = (): void => void socket.destroy()
  const timeout = setTimeout(giveUp, millis)
  const stop = (): void => {
    clearTimeout(timeout)
    socket.off("data", hear)
    socket.off("end", giveUp)
  }
  const hear = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk])
    const http2 = isHttp2(seen)
    if (http2 !== undefined) {
      stop()
      socket.pause()
      socket.unshift(seen)
      decided(http2)
    }
  }
  socket.on("data", hear)
  socket.once("end", giveUp)
  socket.once("close", stop)
}

/** How a port serves. */
interface Serving extends Pick<Options, "idleMillis" | "speaks"> {
  readonly handler: RequestListener
  readonly budgets: BoundedMessages.Budgets
  readonly streamed: ReadonlySet<string>
}

type AnyRequest = Pick<Parameters<RequestListener>[0], "url" | "headers">

/** The framing of a request that is a stream of messages. */
const framing = ({ streamed }: Serving, { headers, url = "" }: AnyRequest) =>
  streamed.size > 0 && streamed.has(url.split("?", 1)[0] ?? "") ? MessageFraming.of(headers["content-type"]) : undefined

const http1Server = (serving: Serving, pipeline: Pipeline) => {
  const { budgets, handler, idleMillis } = serving
  const server = createHttp1(
    {
      IncomingMessage: BoundedMessages.Request1,
      ServerResponse: BoundedMessages.Response1,
      // a body's deadline is the receiving budget's, as with HTTP/2
      requestTimeout: 0,
      headersTimeout: headersMillis,
      keepAliveTimeout: idleMillis,
      connectionsCheckingInterval: Math.min(5_000, idleMillis),
      maxHeaderSize: 16_384
    },
    (request, response) => {
      BoundedMessages.begin1(budgets, request, response, framing(serving, request))
      pipeline.serve(request, response, () => handler(request, response))
    }
  )
  // this server gets its connections by hand and never listens; without the event it would not watch their timeouts
  server.emit("listening")
  return server
}

/** Runs functions when all that has come is read: in order, and at once when nothing more comes. */
class Soon {
  private waiting: Array<() => void> = []

  run(next: () => void): void {
    if (this.waiting.push(next) > 1) return
    setImmediate(() => {
      const { waiting } = this
      this.waiting = []
      for (const run of waiting) run()
    })
  }
}

const http2Server = (serving: Serving) => {
  const { budgets, handler, idleMillis } = serving
  const server = createHttp2({
    Http2ServerRequest: BoundedMessages.Request2,
    Http2ServerResponse: BoundedMessages.Response2,
    maxHeaderListPairs: 128,
    settings: { maxConcurrentStreams: 1_000, maxHeaderListSize: 16_384 }
  })
  const sessions = new WeakMap<object, BoundedMessages.Session>()
  const soon = new Soon()
  server.on("request", (request, response) => {
    if (!(request instanceof BoundedMessages.Request2 && response instanceof BoundedMessages.Response2)) return
    const key = request.stream.session ?? request
    const session = sessions.get(key) ?? BoundedMessages.session(budgets)
    sessions.set(key, session)
    BoundedMessages.begin2(budgets, request, response, framing(serving, request), session)
    // Node's compatibility API has every part of HTTP/1.1's requests and responses that the handlers use
    soon.run(() => {
      // a request that its client has taken back meanwhile is not begun
      if (!response.isOver) handler(...([request, response] as unknown as Parameters<RequestListener>))
    })
  })
  server.on("session", (session) => {
    const streams = new Set<unknown>()
    const resets = new StreamResets(session)
    session.on("stream", (stream) => {
      streams.add(stream)
      stream.once("close", () => {
        streams.delete(stream)
        resets.closed(stream)
      })
    })
    session.setTimeout(idleMillis, () => {
      if (streams.size === 0) session.close()
    })
  })
  return server
}

/** The servers, and the connections that are open. */
interface Open {
  readonly http1: ReturnType<typeof http1Server>
  readonly http2: ReturnType<typeof http2Server>
  readonly pipeline: Pipeline
  readonly sockets: Set<Socket>
  /** Connections whose protocol is not known yet. */
  readonly silent: Set<Socket>
  readonly sessions: Map<ServerHttp2Session, Socket>
}

/** Hands every connection to the server for its protocol, and keeps track of the open ones. */
const makeConnections = (serving: Serving) => {
  const { budgets, idleMillis, speaks } = serving
  const pipeline = new Pipeline()
  const open: Open = {
    http1: http1Server(serving, pipeline),
    http2: http2Server(serving),
    pipeline,
    sockets: new Set(),
    silent: new Set(),
    sessions: new Map()
  }
  const hangingUp = setInterval(() => hangUp(open), idleMillis)
  hangingUp.unref()
  const sweeping = setInterval(() => {
    budgets.receiving.sweep()
    budgets.sending.sweep()
  }, sweepMillis)
  sweeping.unref()
  return {
    add: (socket: Socket): void => add(open, socket, speaks, idleMillis),
    /** Closes each connection as soon as it has no request in hand, and all of them after `stopMillis`. */
    close: (stopMillis: number): Effect.Effect<void> =>
      Effect.callback<void>((resume) =>
        close(open, stopMillis, () => {
          clearInterval(hangingUp)
          clearInterval(sweeping)
          resume(Effect.void)
        })
      )
  }
}

const add = (open: Open, socket: Socket, speaks: Options["speaks"], idleMillis: number): void => {
  const { silent, sockets } = open
  sockets.add(socket)
  socket.once("close", () => sockets.delete(socket))
  socket.on("error", () => socket.destroy())
  if (speaks !== "any") {
    hand(open, socket, speaks === "http2")
  } else if ("alpnProtocol" in socket && typeof socket.alpnProtocol === "string") {
    hand(open, socket, socket.alpnProtocol === "h2")
  } else {
    silent.add(socket)
    socket.once("close", () => silent.delete(socket))
    sniff(socket, Math.min(headersMillis, idleMillis), (toHttp2) => {
      silent.delete(socket)
      hand(open, socket, toHttp2)
    })
  }
}

const hand = ({ http1, http2, sessions }: Open, socket: Socket, toHttp2: boolean): void => {
  if (!toHttp2) {
    http1.emit("connection", socket)
    socket.resume()
    return
  }
  const begun = (session: ServerHttp2Session): void => {
    sessions.set(session, socket)
    socket.once("close", () => sessions.delete(session))
  }
  http2.once("session", begun)
  http2.emit("connection", socket)
  http2.off("session", begun)
}

/** Closes the sockets of ended sessions: a client that never reads an answer to its end would keep one open. */
const hangUp = ({ sessions }: Open): void => {
  for (const [session, socket] of sessions) {
    if (session.destroyed) socket.destroySoon()
  }
}

const close = (open: Open, stopMillis: number, closed: () => void): void => {
  const { http1, http2, pipeline, sessions, silent, sockets } = open
  // a client that keeps its connection may have sent a request already; its answer tells it that the connection closes
  pipeline.stop()
  const lingersUntil = performance.now() + lingerMillis
  for (const session of sessions.keys()) session.close()
  for (const socket of silent) socket.destroy()
  // Node.js closes the connections that are idle now, but not those that become idle later
  const sweep = setInterval(() => {
    if (performance.now() >= lingersUntil) http1.closeIdleConnections()
    hangUp(open)
    if (sockets.size === 0) {
      clearInterval(sweep)
      clearTimeout(deadline)
      http1.close()
      http2.close()
      closed()
    }
  }, 20)
  const deadline = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, stopMillis)
}

/** Listens while the scope lasts, and answers the URL, which has the port that was picked for port 0. */
export const listen = (
  handler: RequestListener,
  {
    address,
    budgets = BoundedMessages.budgets(),
    idleMillis,
    onStop,
    speaks,
    stopMillis,
    streamed = new Set(),
    tls
  }: Options
): Effect.Effect<string, CannotListen, Scope.Scope> =>
  Effect.gen(function* () {
    const connections = makeConnections({ handler, budgets, streamed, speaks, idleMillis })
    const server =
      tls === undefined
        ? createTcp({ noDelay: true }, connections.add)
        : createTls(
            {
              ...tls,
              noDelay: true,
              ALPNProtocols: speaks === "any" ? ["h2", "http/1.1"] : [speaks === "http2" ? "h2" : "http/1.1"],
              handshakeTimeout: headersMillis
            },
            connections.add
          )
    yield* Effect.acquireRelease(
      Effect.callback<void, CannotListen>((resume) => {
        server.on("error", (error) => resume(Effect.fail(new CannotListen({ reason: error.message }))))
        server.listen(address.port, address.host, () => resume(Effect.void))
      }),
      () =>
        Effect.suspend(() => {
          server.close()
          onStop?.()
          return connections.close(stopMillis)
        })
    )
    const { address: host, family, port } = server.address() as AddressInfo
    return `${tls === undefined ? "http" : "https"}://${family === "IPv6" ? `[${host}]` : host}:${port}`
  })
