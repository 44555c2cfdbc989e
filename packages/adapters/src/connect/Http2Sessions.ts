/** Node.js only: HTTP/2 connections to one server, one at a time; a connection that stays silent is replaced. */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2"
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect"
import { Http2SessionManager } from "@connectrpc/connect-node"

interface Session {
  readonly manager: Http2SessionManager
  /** When a byte of an answer came last, by `performance.now()`. */
  heardAt: number
  /** Requests that are not over yet. */
  open: number
}

/**
 * A half-open connection, whose peer is gone without closing it, takes requests for minutes. So a connection is given
 * up when nothing at all was received on it while a call waited for its whole deadline: its calls in hand run on, and
 * the next call gets a new connection. An answer to any other call in that time, however late, keeps the connection.
 */
export class Http2Sessions {
  readonly authority: string
  private readonly baseUrl: string
  private current: Session
  private readonly retired = new Set<Session>()
  private readonly sessions = new WeakMap<ClientHttp2Stream, Session>()

  constructor(baseUrl: string) {
    this.baseUrl = baseUrl
    this.authority = new URL(baseUrl).origin
    this.current = this.open()
  }

  /** Gives up the connection when a call's deadline passes and nothing was received meanwhile. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const session = this.current
    const from = performance.now()
    try {
      return await next(request)
    } catch (error) {
      if (ConnectError.from(error).code === Code.DeadlineExceeded && session.heardAt < from) this.retire(session)
      throw error
    }
  }

  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Parameters<Http2SessionManager["request"]>[3]
  ): Promise<ClientHttp2Stream> {
    const session = this.current
    session.open++
    try {
      const stream = await session.manager.request(method, path, headers, options)
      this.sessions.set(stream, session)
      stream.once("response", () => this.heard(session))
      stream.once("close", () => this.over(session))
      return stream
    } catch (error) {
      this.over(session)
      throw error
    }
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    const session = this.sessions.get(stream)
    if (session === undefined) return
    this.heard(session)
    session.manager.notifyResponseByteRead(stream)
  }

  /** Closes everything; calls in hand fail. */
  close(): void {
    for (const session of [this.current, ...this.retired]) session.manager.abort()
  }

  private open(): Session {
    return {
      // A connection without a stream is pinged before its next use, not while it is idle: connect-node 2.2.0 would go
      // on pinging a session that was destroyed with a stream open, and that throws where nobody can catch it.
      manager: new Http2SessionManager(this.baseUrl, { pingIntervalMs: 20_000, pingTimeoutMs: 5_000 }),
      heardAt: Number.NEGATIVE_INFINITY,
      open: 0
    }
  }

  private heard(session: Session): void {
    session.heardAt = performance.now()
  }

  private retire(session: Session): void {
    if (session !== this.current) return
    this.current = this.open()
    this.retired.add(session)
    // no call runs on a connection that is not open yet, but opening it may take minutes
    if (session.open === 0 || session.manager.state() === "connecting") session.manager.abort()
    if (session.open === 0) this.retired.delete(session)
  }

  private over(session: Session): void {
    session.open--
    if (session.open === 0 && this.retired.delete(session)) session.manager.abort()
  }
}
