/** The requests of good clients, and what they say about the service. */

/** One request of the control group. */
export interface Sample {
  readonly kind: string
  /** When it was due, in milliseconds since the epoch. */
  readonly at: number
  /** How long its client waited from then on. */
  readonly millis: number
  /** A status of HTTP or gRPC, or what went wrong with the connection. */
  readonly answer: string
  readonly ok: boolean
}

export interface Statistics {
  readonly requests: number
  readonly errors: number
  /** Requests for health that failed. */
  readonly healthErrors: number
  /** Creates that succeeded, a second. */
  readonly creates: number
  /** In milliseconds, over all requests that were answered or given up. */
  readonly p50: number
  readonly p99: number
  /** The slowest request for health, in milliseconds. */
  readonly slowestHealth: number
  /** The answers that were no success, with their counts. */
  readonly failures: ReadonlyMap<string, number>
}

export const isHealth = ({ kind }: Sample): boolean => kind.includes("health") || kind.includes("ready")

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

export const count = <A>(some: Iterable<A>): ReadonlyMap<A, number> => {
  const counts = new Map<A, number>()
  for (const one of some) counts.set(one, (counts.get(one) ?? 0) + 1)
  return counts
}

/** Of the requests that were due from `from` to `to`, in milliseconds since the epoch. */
export const statistics = (samples: ReadonlyArray<Sample>, from: number, to: number): Statistics => {
  const within = samples.filter(({ at }) => at >= from && at < to)
  const sorted = within.map(({ millis }) => millis).sort((a, b) => a - b)
  const failed = within.filter(({ ok }) => !ok)
  const created = within.filter(({ kind, ok }) => ok && kind.endsWith("create")).length
  return {
    requests: within.length,
    errors: failed.length,
    healthErrors: failed.filter(isHealth).length,
    creates: created / Math.max(0.001, (to - from) / 1_000),
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    slowestHealth: Math.max(0, ...within.filter(isHealth).map(({ millis }) => millis)),
    failures: count(failed.map(({ answer, kind }) => `${kind}: ${answer}`))
  }
}
