/** Makes a failing schedule shorter and simpler, as long as it still fails in the same way (delta debugging). */
import type { Schedule, Step } from "./Schedule.ts"

export type StillFails = (schedule: Schedule) => Promise<boolean>

/** Removes stretches of steps, the longest first. */
const shorter = async (schedule: Schedule, stillFails: StillFails): Promise<Schedule> => {
  let best = schedule
  for (let size = Math.max(1, best.steps.length >> 1); size >= 1; ) {
    let isShorter = false
    for (let from = best.steps.length - size; from >= 0; from -= size) {
      const steps = best.steps.toSpliced(from, size)
      const candidate = { ...best, steps }
      if (await stillFails(candidate)) {
        best = candidate
        isShorter = true
      }
    }
    if (!isShorter || size > best.steps.length) size = size === 1 ? 0 : Math.max(1, size >> 1)
  }
  return best
}

const without = (step: Step, name: string): Step => ({
  ...step,
  with: Object.fromEntries(Object.entries(step.with).filter(([other]) => other !== name))
})

/** Simpler variants of a step: without optional values, with rounder numbers. */
const plainer = (step: Step): ReadonlyArray<Step> => [
  ...["early", "undone", "large", "hold", "node", "behind", "program"].flatMap((name) =>
    step.with[name] === undefined ? [] : [without(step, name)]
  ),
  ...Object.entries(step.with).flatMap(([name, value]) =>
    typeof value === "number" && value > 100 && value % 100 !== 0
      ? [{ ...step, with: { ...step.with, [name]: Math.round(value / 100) * 100 } }]
      : []
  ),
  ...[100, 10, 1].flatMap((unit) => (step.at % unit === 0 ? [] : [{ ...step, at: Math.round(step.at / unit) * unit }]))
]

const inOrder = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> => steps.toSorted((one, other) => one.at - other.at)

const simpler = async (schedule: Schedule, stillFails: StillFails): Promise<Schedule> => {
  let best = schedule
  for (let index = 0; index < best.steps.length; index++) {
    const step = best.steps[index]
    if (step === undefined) continue
    for (const candidate of plainer(step)) {
      const next = { ...best, steps: inOrder(best.steps.with(index, candidate)) }
      if (await stillFails(next)) {
        best = next
        break
      }
    }
  }
  return best
}

export const shrink = async (schedule: Schedule, stillFails: StillFails): Promise<Schedule> => {
  let best = schedule
  if (await stillFails({ ...best, calm: true })) best = { ...best, calm: true }
  best = await shorter(best, stillFails)
  if (!best.calm && (await stillFails({ ...best, calm: true }))) {
    best = await shorter({ ...best, calm: true }, stillFails)
  }
  best = await simpler(best, stillFails)
  return shorter(await simpler(best, stillFails), stillFails)
}
