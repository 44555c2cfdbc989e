/** Draws what is done to the validators' world. */
import { Random } from "../../faults/Random.ts"
import { crash, Drawing, type Harm, oneOf, simple } from "../Drawing.ts"
import type { Schedule } from "../Schedule.ts"

export const nodes = 3
export const partitions = 3

const messages = (drawing: Drawing, most: number): void => {
  const { random } = drawing
  const span = random.pick([0, 5, 60, 300])
  for (let count = random.between(1, most); count > 0; count--) {
    const after = random.next() * span
    const draw = random.next()
    if (draw < 0.03) drawing.step("garbage", { name: drawing.name() }, after)
    else if (draw < 0.06) drawing.step("unknown", { name: drawing.name() }, after)
    else {
      drawing.step(
        "write",
        {
          name: drawing.name(),
          valid: random.chance(0.6),
          ...(random.chance(0.06) ? { refused: true } : {}),
          ...(random.chance(0.15) ? { twice: true } : {}),
          ...drawing.transaction()
        },
        after
      )
    }
  }
  drawing.at += span
}

const programOf = ({ random }: Drawing): number => random.between(0, 1)

const nodeOf = ({ random }: Drawing): number => random.between(0, nodes - 1)

/** A leader moves, and the members that join again find a coordinator that is not ready. */
const moveAndLoad: Harm = (drawing) => {
  const { random } = drawing
  if (random.chance(0.6)) drawing.step("join-fails", { times: random.between(1, 2) })
  else drawing.step("coordinator", { node: nodeOf(drawing), millis: drawing.millis([0, 300], [300, 1_500]) })
  if (random.chance(0.7))
    drawing.step("move", { partition: random.between(0, partitions - 1), node: nodeOf(drawing) }, 1)
}

const harm = oneOf([
  [3, crash],
  [4, moveAndLoad],
  [2, simple("move", (drawing) => ({ partition: drawing.random.between(0, partitions - 1), node: nodeOf(drawing) }))],
  [2, simple("broker", (drawing) => ({ node: nodeOf(drawing), millis: drawing.millis([50, 300], [300, 2_000]) }))],
  [1, simple("coordinator", (drawing) => ({ node: nodeOf(drawing), millis: drawing.millis([0, 300], [300, 1_500]) }))],
  [
    2,
    simple("cut", (drawing) => ({
      program: programOf(drawing),
      ...(drawing.random.chance(0.5) ? { node: nodeOf(drawing) } : {}),
      millis: drawing.millis([20, 500], [500, 4_000])
    }))
  ],
  [1, simple("deny", (drawing) => ({ millis: drawing.millis([20, 300], [300, 1_500]) }))],
  [1, simple("terminate", (drawing) => ({ program: programOf(drawing) }))],
  [
    1,
    simple("half-open", (drawing) => ({
      program: programOf(drawing),
      millis: drawing.millis([50, 1_000], [1_000, 4_000])
    }))
  ],
  [2, simple("read-only", (drawing) => ({ millis: drawing.millis([20, 300], [300, 3_000]) }))],
  [1, simple("disk-full", (drawing) => ({ millis: drawing.millis([20, 300], [300, 3_000]) }))],
  [1, simple("conflict", ({ random }) => ({ times: random.between(1, 4) }))],
  [
    2,
    simple("stop", (drawing) => ({ program: programOf(drawing), millis: drawing.millis([10, 1_000], [1_000, 3_000]) }))
  ],
  [3, simple("kill", (drawing) => ({ program: programOf(drawing), millis: drawing.millis([5, 100], [100, 1_500]) }))],
  [2, simple("end", (drawing) => ({ program: programOf(drawing), millis: drawing.millis([5, 500]) }))],
  [3, simple("second")]
])

export const draw = (seed: number): Schedule => {
  const random = new Random(seed).fork("consumer")
  const drawing = new Drawing(random)
  if (random.chance(0.3)) drawing.step("second")
  drawing.at = random.pick([0, 50, 200])
  messages(drawing, 5)
  for (let count = random.between(0, 3); count > 0; count--) {
    harm(drawing)
    drawing.at += random.pick([0, 3, 30, 300]) * random.next()
    if (random.chance(0.7)) messages(drawing, 4)
  }
  drawing.at += random.pick([0, 50, 300])
  messages(drawing, 4)
  return { seed, steps: drawing.drawn, calm: false }
}
