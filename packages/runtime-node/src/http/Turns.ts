/**
 * The requests of one session of HTTP/2 that are at work. A session may have a thousand streams open; while its client
 * doesn't read the answers that it has, or has many requests at work, further ones wait their turn. With HTTP/1.1 a
 * connection has one request at a time (`Pipeline`).
 *
 * A request is at work from when its body is in until its answer begins: a watch is not at work for hours.
 */

export interface Options {
  /** Most requests of a session at work. */
  readonly maxAtWork: number
  /** Bytes of answers that a session has not read, above which no more of its requests begin. */
  readonly maxUnsent: number
}

export class Turns {
  /** Bytes of the session's answers that wait to be sent. */
  unsent = 0
  private readonly options: Options
  private readonly waiting = new Set<() => void>()
  private atWork = 0

  constructor(options: Options) {
    this.options = options
  }

  /** Calls `begin` when it is the request's turn, at once if it can. */
  take(begin: () => void): void {
    if (this.isFree()) {
      this.atWork++
      begin()
    } else {
      this.waiting.add(begin)
    }
  }

  /** Forgets a request that has waited in vain; false when it has begun. */
  leave(begin: () => void): boolean {
    return this.waiting.delete(begin)
  }

  /** The answer of a request that was at work begins, or its stream is closed. */
  give(): void {
    this.atWork--
    this.next()
  }

  /** Begins requests that wait, as many as may. To be called when answers have been sent. */
  next(): void {
    for (const begin of this.waiting) {
      if (!this.isFree()) return
      this.waiting.delete(begin)
      this.atWork++
      begin()
    }
  }

  private isFree(): boolean {
    return this.atWork < this.options.maxAtWork && this.unsent < this.options.maxUnsent
  }
}
