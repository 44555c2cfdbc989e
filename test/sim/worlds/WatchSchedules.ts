/** Draws what is done to the watches' world. */
import { Random } from "../../faults/Random.ts"
import { crash, Drawing, failoverBehind, oneOf, simple } from "../Drawing.ts"
import type { Schedule } from "../Schedule.ts"

export const watchers = ["w1", "w2", "w3"] as const
const keys = ["a", "b", "c", "d", "e"] as const

const write = (drawing: Drawing, most: number): void => {
  const { random } = drawing
  const span = random.pick([0, 2, 40, 250])
  for (let count = random.between(1, most); count > 0; count--) {
    drawing.step(
      "write",
      { name: drawing.name(), key: random.pick(keys), ...drawing.transaction() },
      random.next() * span
    )
  }
  drawing.at += span
}

const watch = simple("watch", ({ random }) => ({
  watcher: random.pick(watchers),
  from: random.chance(0.7) ? "now" : "beginning"
}))

const harm = oneOf([
  [6, crash],
  [0.3, failoverBehind],
  [3, watch],
  [
    3,
    simple("leave", (drawing) => ({
      watcher: drawing.random.pick(watchers),
      millis: drawing.millis([5, 300], [300, 2_000])
    }))
  ],
  [2, simple("kill", (drawing) => ({ millis: drawing.millis([5, 100], [100, 1_000]) }))],
  [1, simple("stop", (drawing) => ({ millis: drawing.millis([10, 1_000], [1_000, 3_000]) }))],
  [2, simple("terminate")],
  [1, simple("half-open", (drawing) => ({ millis: drawing.millis([50, 1_000], [1_000, 5_000]) }))],
  [1.5, simple("empty")],
  [1, simple("flush")]
])

export const draw = (seed: number): Schedule => {
  const random = new Random(seed).fork("watch")
  const drawing = new Drawing(random)
  if (random.chance(0.7)) write(drawing, 5)
  watch(drawing)
  drawing.at += random.pick([0, 30, 200])
  if (random.chance(0.6)) write(drawing, 4)
  for (let count = random.between(1, 4); count > 0; count--) {
    harm(drawing)
    drawing.at += random.pick([0, 3, 30, 300]) * random.next()
    if (random.chance(0.3)) drawing.burn()
    if (random.chance(0.7)) write(drawing, 3)
  }
  drawing.at += random.pick([0, 50, 200])
  write(drawing, 5)
  return { seed, steps: drawing.drawn, calm: false }
}
