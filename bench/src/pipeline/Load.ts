/** Load: calls at a steady rate, whether or not earlier ones have ended; or as many as a number of callers can make. */

/** Starts `perSecond` calls a second for `seconds`; resolves when the last one has ended. */
export const steadily = async (
  perSecond: number,
  seconds: number,
  start: (index: number) => Promise<unknown>
): Promise<void> => {
  const total = Math.round(perSecond * seconds)
  const startedAt = performance.now()
  const running = new Set<Promise<unknown>>()
  let started = 0
  while (started < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1)
    for (; started < due; started++) {
      const one = start(started).finally(() => running.delete(one))
      running.add(one)
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(running)
}

/** Each of `callers` starts its next call as soon as its last one has ended, for `seconds`. */
export const greedily = async (
  callers: number,
  seconds: number,
  start: (index: number) => Promise<unknown>
): Promise<void> => {
  const deadline = performance.now() + seconds * 1_000
  let started = 0
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < deadline) {
        await start(started++)
      }
    })
  )
}
