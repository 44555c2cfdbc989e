/** Reads a whole outbox in pages, discards them, and answers how long pages took. */
import * as Database from "./Database.ts"
import { median, rate } from "./Figures.ts"
import { answer, input } from "./Program.ts"

const { url } = input<{ readonly url: string }>()

const taken: Array<number> = []
const startedAt = performance.now()
let last = startedAt
const count = await Database.readEvents(url, 1_000, async () => {
  taken.push(performance.now() - last)
  last = performance.now()
})
answer({ rate: rate(count, last - startedAt), first: taken[0], page: median(taken.slice(1)) })
