/** Creates invoices over HTTP, at a steady rate or as fast as the connections go. */
import { make } from "./Client.ts"
import { latencies } from "./Figures.ts"
import type { Load } from "./Flow.ts"
import { greedily, steadily } from "./Load.ts"
import { answer, input } from "./Program.ts"

const { connections, perSecond, seconds, url } = input<{
  readonly url: string
  readonly connections: number
  readonly perSecond?: number
  readonly seconds: number
}>()

const client = make(url, connections)
const taken: Array<number> = []
let failed = 0
const create = async (): Promise<void> => {
  const startedAt = performance.now()
  try {
    await client.create()
    taken.push(performance.now() - startedAt)
  } catch {
    failed++
  }
}

const startedAt = performance.now()
await (perSecond === undefined ? greedily(connections, seconds, create) : steadily(perSecond, seconds, create))
const load: Load = {
  created: taken.length,
  failed,
  millis: performance.now() - startedAt,
  latency: latencies(taken)
}
answer(load)
client.close()
