/** Numbers as they are printed: rates, percentiles, tables. */

export const rate = (count: number, millis: number): number => (count / millis) * 1_000

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

export const millis = (value: number): string => value.toFixed(1)

export const times = (value: number, baseline: number): string => (value / baseline).toFixed(2)

/** For an even number of values: the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2
}

/** By the nearest rank; NaN without values. */
export const percentile = (values: ReadonlyArray<number>, percent: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN
}

export interface Latencies {
  readonly count: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export const latencies = (values: ReadonlyArray<number>): Latencies => ({
  count: values.length,
  p50: percentile(values, 50),
  p99: percentile(values, 99),
  max: percentile(values, 100)
})

/** A table for the documentation; the first row names the columns. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = [], ...body] = rows
  return [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
}

/** A number from the environment. */
export const setting = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise)

/** Asks until the answer satisfies, with a pause of `every` milliseconds; rejects after `timeoutSeconds`. */
export const until = async <A>(
  ask: () => Promise<A>,
  satisfied: (answer: A) => boolean,
  { every = 20, timeoutSeconds = 300 }: { readonly every?: number; readonly timeoutSeconds?: number } = {}
): Promise<A> => {
  const deadline = performance.now() + timeoutSeconds * 1_000
  for (;;) {
    const answer = await ask()
    if (satisfied(answer)) {
      return answer
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutSeconds} s in vain; last answer: ${JSON.stringify(answer)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}
