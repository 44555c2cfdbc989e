/**
 * Bounds what clients make us hold by not reading answers: how long an answer may make no progress, and the bytes of all
 * answers that wait to be sent. When there are too many bytes, the answer that has waited longest is cut off.
 */
import { LimitMetrics } from "@invoice/core"

export interface Options {
  /** Most bytes of all answers that wait to be sent. Default 64 MiB. */
  readonly maxBytes?: number
  /** How long an answer may make no progress, in milliseconds. Default 15,000. */
  readonly stallMillis?: number
}

/** An answer, as Node.js writes it. */
export interface Answer {
  /** Bytes that were written and not sent. */
  readonly writableLength: number
  /** Emits `timeout` when that time passes without progress, on HTTP/1.1 for the connection, on HTTP/2 for the stream. */
  readonly setTimeout: (millis: number) => unknown
  readonly on: (event: "timeout", listener: () => void) => unknown
  /** Called with how many bytes more, or less, wait to be sent. */
  readonly waits: (bytes: number) => void
  /** Ends the stream, or the connection of HTTP/1.1. */
  readonly cut: () => void
}

interface Waiting {
  readonly since: number
  bytes: number
  /** Whether the answer's own timeout runs. */
  watched: boolean
}

const now = (): number => performance.now()

/** An answer that waits for less is not looked at: nearly all are sent in far less. */
const patienceMillis = 1_000

export class Sending {
  readonly maxBytes: number
  private readonly stallMillis: number
  private readonly waiting = new Map<Answer, Waiting>()
  /** Answers that listen for their timeout already. */
  private readonly listening = new WeakSet<Answer>()
  private held = 0

  constructor({ maxBytes = 67_108_864, stallMillis = 15_000 }: Options = {}) {
    this.maxBytes = maxBytes
    this.stallMillis = stallMillis
  }

  /** Bytes that count now. */
  get bytes(): number {
    return this.held
  }

  /** To be called after each write. */
  wrote(answer: Answer): void {
    const bytes = answer.writableLength
    if (bytes === 0) return
    const waiting = this.waiting.get(answer)
    if (waiting === undefined) {
      const begun = { since: now(), bytes: 0, watched: false }
      this.waiting.set(answer, begun)
      this.hold(answer, begun, bytes)
    } else {
      this.hold(answer, waiting, bytes)
    }
    while (this.held > this.maxBytes && this.cutLongest(0, "sending_bytes"));
  }

  /** The answer has been sent, or its connection is gone. */
  over(answer: Answer): void {
    const waiting = this.waiting.get(answer)
    if (waiting === undefined) return
    this.waiting.delete(answer)
    this.hold(answer, waiting, 0)
  }

  /** Cuts off the answer that has waited longest, if that is more than a second; false when there is none. */
  makeRoom(): boolean {
    return this.cutLongest(patienceMillis, "write_stall")
  }

  /** Looks at the answers that still wait. To be called about once a second. */
  sweep(): void {
    const at = now()
    for (const [answer, waiting] of this.waiting) {
      const bytes = answer.writableLength
      this.hold(answer, waiting, bytes)
      if (bytes === 0) this.waiting.delete(answer)
      else if (!waiting.watched && at - waiting.since >= patienceMillis) this.watch(answer, waiting)
    }
  }

  private hold(answer: Answer, waiting: Waiting, bytes: number): void {
    const more = bytes - waiting.bytes
    waiting.bytes = bytes
    this.held += more
    answer.waits(more)
  }

  private watch(answer: Answer, waiting: Waiting): void {
    waiting.watched = true
    answer.setTimeout(this.stallMillis)
    if (this.listening.has(answer)) return
    this.listening.add(answer)
    answer.on("timeout", () => {
      // a stream that has nothing to say for this long is no stall
      if (answer.writableLength > 0) this.cut(answer, "write_stall")
    })
  }

  private cutLongest(leastMillis: number, reason: LimitMetrics.Limit): boolean {
    // a map keeps the order of insertion: the first one has waited longest
    const [longest] = this.waiting
    if (longest === undefined || now() - longest[1].since < leastMillis) return false
    this.cut(longest[0], reason)
    return true
  }

  private cut(answer: Answer, reason: LimitMetrics.Limit): void {
    LimitMetrics.reached(reason)
    // before its bytes are taken off, which lets further requests of the same client begin
    answer.cut()
    this.over(answer)
  }
}
