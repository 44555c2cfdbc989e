/** f. What relay and validator programs cost while nothing happens, by proc(5). */
import { setting, table } from "./Figures.ts"
import type { Machine } from "./Machine.ts"
import * as Program from "./Program.ts"

const seconds = setting("BENCH_IDLE_SECONDS", 20)
const settleSeconds = 5

const pause = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1_000))

export const run = async (machine: Machine): Promise<string> => {
  const database = await machine.database()
  const environment = { DATABASE_URL: database.url, KAFKA_BROKERS: machine.brokers }
  const relay = await Program.start("relay", environment)
  const validator = await Program.start("validator", environment)
  await pause(settleSeconds)
  const cpu = async () => [await relay.cpuSeconds(), await validator.cpuSeconds()] as const
  const before = await cpu()
  const startedAt = performance.now()
  await pause(seconds)
  const after = await cpu()
  const share = (index: 0 | 1) => ((after[index] - before[index]) / ((performance.now() - startedAt) / 1_000)) * 100
  const memory = [await relay.residentMegabytes(), await validator.residentMegabytes()]
  await validator.stop()
  await relay.stop()
  await database.disconnect()
  const percent = (value: number) => `${value.toFixed(1)} %`
  return `f. Idle for ${seconds} s (goal: relay and validator below 5 % of a core)\n\n${table([
    ["Program", "of a core", "RSS MB"],
    ["relay", percent(share(0)), (memory[0] ?? 0).toFixed(0)],
    ["validator", percent(share(1)), (memory[1] ?? 0).toFixed(0)],
    ["both", percent(share(0) + share(1)), ""]
  ])}`
}
