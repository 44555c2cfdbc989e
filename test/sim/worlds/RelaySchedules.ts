/** Draws what is done to the relay's world: harm, and writes before and after it. */
import { Random } from "../../faults/Random.ts"
import type { Schedule, Step } from "../Schedule.ts"

/** A key's events go to several topics, as an invoice's do. */
export const topics = ["load", "other"] as const
const keys = ["a", "b", "c", "d"] as const
export const nodes = 3
export const partitions = 3

type With = Step["with"]

class Drawing {
  readonly steps: Array<Step> = []
  readonly random: Random
  /** Where the schedule has come to, in milliseconds. */
  at = 0
  private names = 0

  constructor(random: Random) {
    this.random = random
  }

  step(what: string, its: With = {}, after = 0): void {
    this.steps.push({ at: Math.round((this.at + after) * 10) / 10, what, with: its })
  }

  /** Writes, close together or over some time. */
  write(most: number): void {
    const { random } = this
    const span = random.pick([0, 2, 40, 250])
    for (let count = random.between(1, most); count > 0; count--) {
      this.names += 1
      this.step(
        "write",
        {
          name: `${this.names}`,
          key: random.pick(keys),
          topic: random.pick(topics),
          ...(random.chance(0.25) ? { early: random.between(0, 40) } : { early: -1 }),
          hold: random.chance(0.3) ? random.between(5, 120) : random.between(0, 3),
          ...(random.chance(0.12) ? { undone: true } : {}),
          ...(random.chance(0.04) ? { large: true } : {})
        },
        random.next() * span
      )
    }
    this.at += span
  }

  burn(): void {
    this.step("burn", { ids: this.random.between(1, 8) }, this.random.next() * 5)
  }
}

type Harm = (drawing: Drawing) => void

const millis = (random: Random, ...spans: ReadonlyArray<readonly [number, number]>): number => {
  const [least, most] = random.pick(spans)
  return random.between(least, most)
}

const relayOf = (random: Random): number => (random.chance(0.3) ? 1 : 0)

const crash: Harm = (drawing) => {
  const { random } = drawing
  if (random.chance(0.7)) drawing.burn()
  const down = millis(random, [20, 400], [20, 1_500])
  drawing.step(random.chance(0.75) ? "crash" : "failover", { millis: down }, 5)
  if (random.chance(0.5)) drawing.at += down
}

const failoverBehind: Harm = (drawing) => {
  const { random } = drawing
  drawing.step("failover", { behind: random.between(1, 12), millis: millis(random, [20, 400]) })
}

/** A broker breaks off while it handles a send. */
const lose: Harm = (drawing) => {
  const { random } = drawing
  drawing.step("lose", {
    relay: relayOf(random),
    node: random.between(0, nodes - 1),
    before: random.chance(0.5),
    dies: random.chance(0.6),
    millis: millis(random, [50, 300], [300, 2_000])
  })
  drawing.write(6)
}

const simple =
  (what: string, its: (random: Random) => With): Harm =>
  (drawing) =>
    drawing.step(what, its(drawing.random))

/** The heavier ones are drawn more often. */
const harms: ReadonlyArray<readonly [number, Harm]> = [
  [6, crash],
  [1, failoverBehind],
  [4, lose],
  [
    2,
    simple("move", (random) => ({
      topic: random.pick(topics),
      partition: random.between(0, partitions - 1),
      node: random.between(0, nodes - 1)
    }))
  ],
  [
    2,
    simple("broker", (random) => ({ node: random.between(0, nodes - 1), millis: millis(random, [50, 300], [300, 3_000]) }))
  ],
  [
    2,
    simple("cut", (random) => ({
      relay: relayOf(random),
      ...(random.chance(0.5) ? { node: random.between(0, nodes - 1) } : {}),
      millis: millis(random, [20, 500], [500, 5_000])
    }))
  ],
  [1, simple("deny", (random) => ({ topic: random.pick(topics), millis: millis(random, [20, 300], [300, 1_500]) }))],
  [2, simple("terminate", (random) => ({ relay: relayOf(random) }))],
  [1, simple("half-open", (random) => ({ relay: relayOf(random), millis: millis(random, [50, 1_000], [1_000, 8_000]) }))],
  [3, simple("stop", (random) => ({ relay: relayOf(random), millis: millis(random, [10, 1_000], [1_000, 4_000]) }))],
  [4, simple("kill", (random) => ({ relay: relayOf(random), millis: millis(random, [5, 100], [100, 2_000]) }))],
  [2, simple("end", (random) => ({ relay: relayOf(random), millis: millis(random, [5, 1_000]) }))],
  [3, simple("second", () => ({}))],
  [1, simple("replay", (random) => ({ key: random.pick(keys) }))],
  [1, simple("flush", () => ({}))],
  [
    1,
    simple("clock", (random) => ({
      by: (random.chance(0.5) ? 1 : -1) * millis(random, [500, 5_000], [5_000, 3_600_000])
    }))
  ]
]

const weights = harms.reduce((sum, [weight]) => sum + weight, 0)

const pickHarm = (random: Random): Harm => {
  let left = random.next() * weights
  for (const [weight, harm] of harms) {
    left -= weight
    if (left < 0) return harm
  }
  return crash
}

export const draw = (seed: number): Schedule => {
  const random = new Random(seed).fork("schedule")
  const drawing = new Drawing(random)
  if (random.chance(0.25)) drawing.step("second")
  drawing.at = random.pick([0, 20, 300])
  if (random.chance(0.8)) drawing.write(4)
  for (let count = random.between(0, 4); count > 0; count--) {
    pickHarm(random)(drawing)
    drawing.at += random.pick([0, 3, 30, 300, 600]) * random.next()
    if (random.chance(0.3)) drawing.burn()
    if (random.chance(0.7)) drawing.write(3)
  }
  // what a position skips shows in what is written later
  drawing.at += random.pick([0, 50, 400])
  drawing.write(6)
  return { seed, steps: drawing.steps.toSorted((one, other) => one.at - other.at), calm: false }
}
