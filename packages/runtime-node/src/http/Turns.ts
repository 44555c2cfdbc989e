/**
 * The requests of one session of HTTP/2 that are at work. A session may have a thousand streams open; while its client
 * doesn't read the answers that it has, or has many requests at work, further ones wait their turn. With HTTP/1.1 a
 * connection has one request at a time (`Pipeline`).
 *
 * How many are at work depends on their answers, since an answer of a megabyte needs several while it is made: no more
 * than would fit the bytes that a session may leave unread, going by the answers before. A session begins with a few,
 * and each answer lets one more begin.
 *
 * A request is at work from when its body is in until its answer begins: a watch is not at work for hours.
 */

export interface Options {
  /** Most requests of a session at work. A sixteenth of them may be at work before the first answer. */
  readonly maxAtWork: number
  /** Bytes of answers that a session has not read, above which no more of its requests begin. */
  readonly maxUnsent: number
}

export class Turns {
  /** Bytes of the session's answers that wait to be sent. */
  unsent = 0
  private readonly options: Options
  /** What begins each request that waits, and what refuses it. */
  private readonly waiting = new Map<() => void, () => void>()
  private atWork = 0
  private allowed: number
  /** Bytes of an answer, as far as those before tell. */
  private expected = 0

  constructor(options: Options) {
    this.options = options
    this.allowed = Math.ceil(options.maxAtWork / 16)
  }

  /** Calls `begin` when it is the request's turn, at once if it can; or `refuse` when its client reads no answers. */
  take(begin: () => void, refuse: () => void): void {
    if (this.isFree()) {
      this.atWork++
      begin()
    } else {
      this.waiting.set(begin, refuse)
    }
  }

  /** Forgets a request that has waited in vain; false when it has begun. */
  leave(begin: () => void): boolean {
    return this.waiting.delete(begin)
  }

  /**
   * The answer of a request that was at work begins, or its stream is closed.
   *
   * @param bytes of the answer, at its first write
   */
  give(bytes: number): void {
    this.atWork--
    this.allowed = Math.min(this.options.maxAtWork, this.allowed + 1)
    // a great answer counts at once, and is forgotten in a dozen small ones
    this.expected = Math.max(bytes, this.expected * 0.8)
    this.next()
  }

  /** Begins requests that wait, as many as may. To be called when answers have been sent. */
  next(): void {
    for (const begin of this.waiting.keys()) {
      if (!this.isFree()) return
      this.waiting.delete(begin)
      this.atWork++
      begin()
    }
  }

  /** Refuses the requests that wait, since an answer was cut off that their client did not read. */
  refuse(): void {
    for (const refuse of this.waiting.values()) refuse()
  }

  private isFree(): boolean {
    const { maxUnsent } = this.options
    if (this.atWork === 0) return this.unsent < maxUnsent
    return this.atWork < this.allowed && this.unsent + this.atWork * this.expected < maxUnsent
  }
}
