/**
 * Bounds what clients make us hold by sending bodies: the time that a body may take, and the bytes of all bodies in hand,
 * in a session of HTTP/2 and in the process. When there are too many bytes, the slowest body that is not complete is cut
 * off: a client that sends at a normal speed is not the one that fills the memory.
 *
 * The bytes of a body count until its answer begins. Of a body that is a stream of messages only those of an
 * incomplete message count, since its reader takes no more messages than it can handle.
 */
import { LimitMetrics } from "@invoice/core"
import type { MessageFraming } from "./MessageFraming.ts"

export interface Options {
  /** Most bytes of all bodies in hand. Default 64 MiB. A session may hold a quarter of it. */
  readonly maxBytes?: number
  /** How long a body may take, and how long a stream of messages may be silent, in milliseconds. Default 30,000. */
  readonly millis?: number
}

/** Why a body is cut off. */
export type Reason = Extract<LimitMetrics.Limit, "body_deadline" | "receiving_bytes">

/** A body that is being received. */
export interface Body {
  /** The session of HTTP/2 that it belongs to; undefined with HTTP/1.1, where a connection carries one body at a time. */
  readonly session: Session | undefined
  /** For a body that is a stream of messages. */
  readonly framing: MessageFraming | undefined
  /** Whether its reader has taken all that came, so that the client is the one who keeps us waiting. */
  readonly isAwaited: () => boolean
  /** Ends the request. */
  readonly cut: (reason: Reason) => void
  readonly since: number
  /** When the last bytes came. */
  heardAt: number
  total: number
  /** The bytes of it that count. */
  held: number
  /** What the chunks cost that it is held in, in bytes. */
  overhead: number
}

export interface Session {
  held: number
}

/** What a small chunk costs beside its bytes: a client that sends a byte at a time makes us hold this for each. */
const chunkBytes = 512
const smallChunk = 4_096

const now = (): number => performance.now()

export class Receiving {
  readonly maxBytes: number
  private readonly maxSessionBytes: number
  private readonly millis: number
  private readonly unfinished = new Set<Body>()
  private held = 0

  constructor({ maxBytes = 67_108_864, millis = 30_000 }: Options = {}) {
    this.maxBytes = maxBytes
    this.maxSessionBytes = maxBytes / 4
    this.millis = millis
  }

  /** Bytes that count now. */
  get bytes(): number {
    return this.held
  }

  begin(body: Pick<Body, "session" | "framing" | "isAwaited" | "cut">): Body {
    const since = now()
    const { cut, framing, isAwaited, session } = body
    // each field by its name: a copy of an object costs more, and this runs for every request
    const begun: Body = { session, framing, isAwaited, cut, since, heardAt: since, total: 0, held: 0, overhead: 0 }
    this.unfinished.add(begun)
    return begun
  }

  received(body: Body, chunk: Uint8Array): void {
    if (!this.unfinished.has(body)) return
    body.heardAt = now()
    body.total += chunk.length
    const bytes = body.framing === undefined ? body.total : body.framing.add(chunk)
    // what this chunk has made complete is not held
    body.overhead = bytes < chunk.length ? 0 : body.overhead + (chunk.length < smallChunk ? chunkBytes : 0)
    this.hold(body, bytes === 0 ? 0 : bytes + body.overhead)
    if (body.session !== undefined && body.session.held > this.maxSessionBytes) this.cutSlowest(body.session)
    if (this.held > this.maxBytes) this.cutSlowest(undefined)
  }

  /** The body is complete. */
  complete(body: Body): void {
    this.unfinished.delete(body)
  }

  /** The answer begins, so the body has been used. A stream of messages may still go on. */
  answered(body: Body): void {
    if (body.framing === undefined) this.over(body)
  }

  /** The request is over, or its connection is gone. */
  over(body: Body): void {
    this.unfinished.delete(body)
    this.hold(body, 0)
  }

  /** Cuts off the bodies that take too long. To be called about once a second. */
  sweep(): void {
    const oldest = now() - this.millis
    for (const body of this.unfinished) {
      const late = body.framing === undefined ? body.since < oldest : body.heardAt < oldest && body.isAwaited()
      if (late) this.cut(body, "body_deadline")
    }
  }

  private hold(body: Body, bytes: number): void {
    const more = bytes - body.held
    body.held = bytes
    this.held += more
    if (body.session !== undefined) body.session.held += more
  }

  private cutSlowest(session: Session | undefined): void {
    const at = now()
    let slowest: Body | undefined
    let slowestRate = Number.POSITIVE_INFINITY
    for (const body of this.unfinished) {
      if (body.held === 0 || (session !== undefined && body.session !== session)) continue
      const rate = body.total / Math.max(1, at - body.since)
      if (rate < slowestRate) {
        slowest = body
        slowestRate = rate
      }
    }
    if (slowest !== undefined) this.cut(slowest, "receiving_bytes")
  }

  private cut(body: Body, reason: Reason): void {
    LimitMetrics.reached(reason)
    this.over(body)
    body.cut(reason)
  }
}
