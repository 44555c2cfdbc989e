/** Draws the steps of a schedule one after the other. */
import type { Random } from "../faults/Random.ts"
import type { Step } from "./Schedule.ts"

type With = Step["with"]

export class Drawing {
  readonly random: Random
  /** The time of the next step, in milliseconds. */
  at = 0
  private readonly steps: Array<Step> = []
  private names = 0

  constructor(random: Random) {
    this.random = random
  }

  step(what: string, its: With = {}, after = 0): void {
    this.steps.push({ at: Math.round((this.at + after) * 10) / 10, what, with: its })
  }

  /** A new name for each event, invoice or watcher. */
  name(): string {
    this.names += 1
    return `${this.names}`
  }

  /** A whole number of milliseconds from one of the spans, which is picked at random. */
  millis(...spans: ReadonlyArray<readonly [number, number]>): number {
    const [least, most] = this.random.pick(spans)
    return this.random.between(least, most)
  }

  burn(): void {
    this.step("burn", { ids: this.random.between(1, 8) }, this.random.next() * 5)
  }

  /** Draws how a writing transaction behaves. */
  transaction(): With {
    const { random } = this
    return {
      early: random.chance(0.25) ? random.between(0, 40) : -1,
      hold: random.chance(0.3) ? random.between(5, 120) : random.between(0, 3),
      ...(random.chance(0.12) ? { undone: true } : {})
    }
  }

  /** The steps that were drawn, in the order of time. */
  get drawn(): ReadonlyArray<Step> {
    return this.steps.toSorted((one, other) => one.at - other.at)
  }
}

export type Harm = (drawing: Drawing) => void

/** A harm of one step; `its` draws the step's values. */
export const simple =
  (what: string, its: (drawing: Drawing) => With = () => ({})): Harm =>
  (drawing) =>
    drawing.step(what, its(drawing))

/** One of several harms, each with its weight; a higher weight is drawn more often. */
export const oneOf = (harms: ReadonlyArray<readonly [number, Harm]>): Harm => {
  const all = harms.reduce((sum, [weight]) => sum + weight, 0)
  return (drawing) => {
    let left = drawing.random.next() * all
    for (const [weight, harm] of harms) {
      left -= weight
      if (left < 0) return harm(drawing)
    }
  }
}

/** The server crashes and comes back, or a standby takes over. */
export const crash: Harm = (drawing) => {
  const { random } = drawing
  if (random.chance(0.7)) drawing.burn()
  // after a random time, so that a relay that polls has seen the ids that were burnt, or has not
  drawing.at += 5 + random.pick([0, 60, 250]) * random.next()
  const down = drawing.millis([5, 60], [20, 400], [20, 1_500])
  drawing.step(random.chance(0.75) ? "crash" : "failover", { millis: down })
  if (random.chance(0.5)) drawing.at += down
}

/** An asynchronous standby takes over, which lacks some of the commits. */
export const failoverBehind: Harm = (drawing) =>
  drawing.step("failover", { behind: drawing.random.between(1, 12), millis: drawing.millis([20, 400]) })
