/**
 * Checks the leases from the database's side: a relay's write for a lane may succeed only while this relay is the last
 * one that acquired the lane. Two relays that hold the same epoch break this.
 */
import type { Process } from "../Process.ts"
import type { Observer } from "../postgres/Connections.ts"

interface Acquisition {
  readonly process: Process
  readonly epoch: string
}

export interface FencedTexts {
  readonly acquire: string
  /** Statements that answer a row when they succeed; their first parameters are the lane and the epoch. */
  readonly fenced: ReadonlySet<string>
}

export class Fencing {
  readonly violations: Array<string> = []
  acquisitions = 0
  /** All processes that ever acquired a lane. */
  readonly holders = new Set<Process>()
  private readonly last = new Map<number, Acquisition>()
  private readonly texts: FencedTexts

  constructor(texts: FencedTexts) {
    this.texts = texts
  }

  /** Whether the process was the last to acquire a lane. */
  holds(process: Process): boolean {
    return [...this.last.values()].some((one) => one.process === process)
  }

  /** Forgets the leases: nothing is promised after a failover to a standby that is behind. */
  forget(): void {
    this.last.clear()
  }

  readonly observe: Observer = (process, text, [lane, epoch], rows) => {
    const [row] = rows
    if (row === undefined) return
    const number = Number(lane)
    const last = this.last.get(number)
    if (text === this.texts.acquire) {
      if (typeof row["epoch"] !== "string") return
      if (last?.process !== process) this.acquisitions += 1
      this.last.set(number, { process, epoch: row["epoch"] })
      this.holders.add(process)
      return
    }
    if (!this.texts.fenced.has(text) || last === undefined || last.process === process) return
    this.violations.push(
      `${process.name} wrote for lane ${number} under epoch ${String(epoch)} after ${last.process.name} had acquired epoch ${last.epoch}`
    )
  }
}
