/** What an attack has seen of the service: answers, lifetimes of what it opened, promises that were broken. */
import type { ClientHttp2Stream } from "node:http2"
import type { Socket } from "node:net"

export class Findings {
  readonly broken: Array<string> = []
  readonly notes: Array<string> = []
  /** How often each answer came. */
  readonly answers = new Map<string, number>()
  /** Seconds that the attack's connections or streams lived until the service ended them. */
  readonly lived: Array<number> = []
  private readonly openedAt = new Map<object, number>()
  private isOver = false

  answered(text: string): void {
    // what the end of the attack itself brings about is not an answer
    if (this.isOver) return
    this.answers.set(text, (this.answers.get(text) ?? 0) + 1)
  }

  /** Fails the scene with this reason unless the condition holds. */
  expect(holds: boolean, otherwise: string): void {
    if (!holds) this.broken.push(otherwise)
  }

  note(text: string): void {
    this.notes.push(text)
  }

  /** How many connections or streams of the attack the service has not ended. */
  get open(): number {
    return this.openedAt.size
  }

  /** Counts something that the attack has opened, from now until it closes. */
  follow(one: Socket | ClientHttp2Stream): void {
    this.openedAt.set(one, performance.now())
    one.on("error", () => {})
    one.once("close", () => {
      const openedAt = this.openedAt.get(one)
      if (openedAt === undefined) return
      this.openedAt.delete(one)
      this.lived.push((performance.now() - openedAt) / 1_000)
    })
  }

  /** The attack is over: forgets what is still open, whose end is no longer the service's doing. Answers how many. */
  leave(): number {
    const { open } = this
    this.isOver = true
    this.openedAt.clear()
    return open
  }
}
