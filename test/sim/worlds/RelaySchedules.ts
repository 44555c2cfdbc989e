/** Draws what is done to the relay's world: harm, and writes before and after it. */
import { Random } from "../../faults/Random.ts"
import { crash, Drawing, failoverBehind, type Harm, oneOf, simple } from "../Drawing.ts"
import type { Schedule } from "../Schedule.ts"

/** A key's events go to several topics, as an invoice's do. */
export const topics = ["load", "other"] as const
export const nodes = 3
export const partitions = 3
const keys = ["a", "b", "c", "d"] as const

/** Draws writes, close together or over some time. */
const write = (drawing: Drawing, most: number): void => {
  const { random } = drawing
  const span = random.pick([0, 2, 40, 250])
  for (let count = random.between(1, most); count > 0; count--) {
    const large = random.chance(0.04) ? { large: true } : {}
    const its = { key: random.pick(keys), topic: random.pick(topics), ...drawing.transaction(), ...large }
    drawing.step("write", { name: drawing.name(), ...its }, random.next() * span)
  }
  drawing.at += span
}

const relayOf = ({ random }: Drawing): number => (random.chance(0.3) ? 1 : 0)

const nodeOf = ({ random }: Drawing): number => random.between(0, nodes - 1)

/** A broker's connection breaks while it handles a send. */
const lose: Harm = (drawing) => {
  const { random } = drawing
  drawing.step("lose", {
    program: relayOf(drawing),
    node: nodeOf(drawing),
    before: random.chance(0.5),
    dies: random.chance(0.6),
    millis: drawing.millis([50, 300], [300, 2_000])
  })
  write(drawing, 6)
}

/** A lane is taken over, and the server crashes right after it has answered. */
const crashAfterLease: Harm = (drawing) => {
  const { random } = drawing
  drawing.step("second")
  const restart = drawing.millis([2, 30])
  drawing.step("kill", { program: relayOf(drawing), millis: restart })
  drawing.at += restart + random.next() * 8
  drawing.step("crash", { millis: drawing.millis([20, 150]) })
}

const harm = oneOf([
  [6, crash],
  [1.5, crashAfterLease],
  [1, failoverBehind],
  [4, lose],
  [
    2,
    simple("move", (drawing) => ({
      topic: drawing.random.pick(topics),
      partition: drawing.random.between(0, partitions - 1),
      node: nodeOf(drawing)
    }))
  ],
  [2, simple("broker", (drawing) => ({ node: nodeOf(drawing), millis: drawing.millis([50, 300], [300, 3_000]) }))],
  [
    2,
    simple("cut", (drawing) => ({
      program: relayOf(drawing),
      ...(drawing.random.chance(0.5) ? { node: nodeOf(drawing) } : {}),
      millis: drawing.millis([20, 500], [500, 5_000])
    }))
  ],
  [
    1,
    simple("deny", (drawing) => ({
      topic: drawing.random.pick(topics),
      millis: drawing.millis([20, 300], [300, 1_500])
    }))
  ],
  [2, simple("terminate", (drawing) => ({ program: relayOf(drawing) }))],
  [
    1,
    simple("half-open", (drawing) => ({
      program: relayOf(drawing),
      millis: drawing.millis([50, 1_000], [1_000, 8_000])
    }))
  ],
  [
    3,
    simple("stop", (drawing) => ({ program: relayOf(drawing), millis: drawing.millis([10, 1_000], [1_000, 4_000]) }))
  ],
  [4, simple("kill", (drawing) => ({ program: relayOf(drawing), millis: drawing.millis([5, 100], [100, 2_000]) }))],
  [2, simple("end", (drawing) => ({ program: relayOf(drawing), millis: drawing.millis([5, 1_000]) }))],
  [3, simple("second")],
  [1, simple("replay", ({ random }) => ({ key: random.pick(keys) }))],
  [1, simple("flush")],
  [
    1,
    simple("clock", (drawing) => ({
      by: (drawing.random.chance(0.5) ? 1 : -1) * drawing.millis([500, 5_000], [5_000, 3_600_000])
    }))
  ]
])

export const draw = (seed: number): Schedule => {
  const random = new Random(seed).fork("relay")
  const drawing = new Drawing(random)
  if (random.chance(0.15)) drawing.step("lanes")
  if (random.chance(0.25)) drawing.step("second")
  drawing.at = random.pick([0, 20, 300])
  if (random.chance(0.8)) write(drawing, 4)
  for (let count = random.between(0, 4); count > 0; count--) {
    harm(drawing)
    drawing.at += random.pick([0, 3, 30, 300, 600]) * random.next()
    if (random.chance(0.3)) drawing.burn()
    if (random.chance(0.7)) write(drawing, 3)
  }
  // events that a position skips are found only by later writes
  drawing.at += random.pick([0, 50, 400])
  write(drawing, 6)
  return { seed, steps: drawing.drawn, calm: false }
}
