/** Waits for conditions. How often a condition is checked changes no result. */
export const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits until the condition holds; rejects after `seconds`, naming what was waited for. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  { seconds = 60, every = 25 }: { readonly seconds?: number; readonly every?: number } = {}
): Promise<void> => {
  const deadline = performance.now() + seconds * 1_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not after ${seconds} s: ${what}`)
    await pause(every)
  }
}
