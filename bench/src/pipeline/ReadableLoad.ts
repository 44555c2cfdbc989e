/** Creates invoices at a steady rate, and asks for each one until it has its verdict. */
import { make } from "./Client.ts"
import { latencies, until } from "./Figures.ts"
import { steadily } from "./Load.ts"
import { answer, input } from "./Program.ts"
import type { Answer } from "./Readable.ts"

const { perSecond, seconds, url } = input<{
  readonly url: string
  readonly perSecond: number
  readonly seconds: number
}>()

const client = make(url, 32)
const sent: Array<number> = []
const answered: Array<number> = []
const create: Array<number> = []
const warmUp = 3 * perSecond

await steadily(perSecond, seconds + 3, async (index) => {
  const sentAt = performance.now()
  const id = await client.create()
  const answeredAt = performance.now()
  await until(
    () => client.status(id),
    (status) => status !== "Pending",
    { every: 2, timeoutSeconds: 30 }
  )
  const readAt = performance.now()
  if (index >= warmUp) {
    sent.push(readAt - sentAt)
    answered.push(readAt - answeredAt)
    create.push(answeredAt - sentAt)
  }
})
const figures: Answer = { sent: latencies(sent), answered: latencies(answered), create: latencies(create) }
answer(figures)
client.close()
