/** Random delays in milliseconds: mostly short, sometimes long. In a calm world they are constant. */
import type { Random } from "../faults/Random.ts"
import type { Engine } from "./Engine.ts"

/** The delay of one way between a program and the database. */
export const database = (engine: Engine, random: Random): number => {
  if (engine.isCalm) return 0.3
  const draw = random.next()
  return draw < 0.93 ? 0.05 + draw * 0.6 : draw < 0.99 ? 5 * random.next() : 60 * random.next()
}

/** The delay of one way between a program and a broker. */
export const broker = (engine: Engine, random: Random): number => {
  if (engine.isCalm) return 0.5
  const draw = random.next()
  return draw < 0.95 ? 0.1 + draw * 0.8 : draw < 0.99 ? 10 * random.next() : 150 * random.next()
}

/** The time until the write-ahead log is on the disk. */
export const flush = (engine: Engine, random: Random): number => {
  if (engine.isCalm) return 1
  return random.next() * (random.chance(0.05) ? 80 : 2)
}
