/**
 * Ends sessions of HTTP/2 whose clients take back most of what they ask for. A request that is reset at once costs its
 * sender a few bytes and the server a stream (CVE-2023-44487); a client that gives up a call now and then, or closes many
 * watches, has far more requests that it let finish.
 */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2"
import { LimitMetrics } from "@invoice/core"

/** Most requests in a window that a client may take back beyond those that it let finish. */
const maxResets = 200

const windowMillis = 10_000

const cut = new WeakSet<ServerHttp2Stream>()

/** Notes that the server is about to reset a stream, so that its client is not blamed. */
export const isOurs = (stream: ServerHttp2Stream): void => void cut.add(stream)

/** Counts the resets of a session, and closes it with GOAWAY and ENHANCE_YOUR_CALM when there are too many. */
export class StreamResets {
  private readonly session: ServerHttp2Session
  private since = performance.now()
  private excess = 0

  constructor(session: ServerHttp2Session) {
    this.session = session
  }

  /** To be called when a stream is closed. */
  closed(stream: ServerHttp2Stream): void {
    if (!stream.aborted) {
      if (this.excess > 0) this.excess--
      return
    }
    if (cut.has(stream) || this.session.destroyed) return
    const now = performance.now()
    if (now - this.since > windowMillis) {
      this.since = now
      this.excess = 0
    }
    this.excess++
    if (this.excess <= maxResets) return
    LimitMetrics.reached("resets")
    this.session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    this.session.destroy()
  }
}
