import type { Message } from "@invoice/core/Message"

/** The messages of one partition. Offsets count from 0 and stay when older messages go. */
export class Partition {
  private readonly messages: Array<Message> = []
  private first = 0

  /** The offset of the next message. */
  get end(): number {
    return this.first + this.messages.length
  }

  /** The offset of the oldest message that is still there. */
  get start(): number {
    return this.first
  }

  append(message: Message): void {
    this.messages.push(message)
  }

  read(from: number, limit: number): ReadonlyArray<Message> {
    const index = from - this.first
    return this.messages.slice(index, index + limit)
  }

  /** Drops the messages before the offset `needed`, but keeps the last `kept` messages. */
  trim(needed: number, kept: number): void {
    const excess = Math.min(needed, this.end - kept) - this.first
    // in large steps: each one moves the whole array
    if (excess <= kept) return
    this.messages.splice(0, excess)
    this.first += excess
  }
}
