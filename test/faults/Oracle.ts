/**
 * The judge: compares what was committed with what the broker holds. It knows nothing of how the one became the other.
 */
import type { Committed } from "./Ledger.ts"

/** A record of the broker's log that carries an event of this suite's or the pipeline's. */
export interface Published {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** CloudEvents `id`. */
  readonly id: string
  readonly key: string
  readonly ver: number
  /** When the broker appended it, in milliseconds since the epoch. */
  readonly at: number
}

export interface Judgement {
  /** Committed events. */
  readonly events: number
  /** Committed and not published. */
  readonly lost: number
  /** Published and never committed (rolled back, or of nobody). */
  readonly invented: number
  /** First deliveries that came after the first delivery of a later event of their key and topic. */
  readonly inversions: number
  /** Deliveries beyond the first. */
  readonly duplicates: number
  /** Duplicates that came after a later event of their key and topic: what a consumer needs `ver` for. */
  readonly lateDuplicates: number
  /** Keys whose records lie in more than one partition of a topic. */
  readonly moved: number
  /** Longest time between two records after one another, in seconds: how long nothing came through. */
  readonly silence: number
}

/** The order that a consumer sees within a partition; between partitions there is only the time of the append. */
const inOrder = (a: Published, b: Published): number =>
  a.partition === b.partition
    ? a.offset < b.offset
      ? -1
      : 1
    : a.at - b.at || a.partition - b.partition || (a.offset < b.offset ? -1 : 1)

const judgeKey = (records: ReadonlyArray<Published>) => {
  const seen = new Set<string>()
  let newest = 0
  let inversions = 0
  let duplicates = 0
  let lateDuplicates = 0
  for (const { id, ver } of records.toSorted(inOrder)) {
    const old = ver < newest
    if (seen.has(id)) {
      duplicates += 1
      if (old) lateDuplicates += 1
    } else {
      seen.add(id)
      if (old) inversions += 1
      newest = Math.max(newest, ver)
    }
  }
  return { inversions, duplicates, lateDuplicates, moved: new Set(records.map(({ partition }) => partition)).size > 1 }
}

const silenceOf = (published: ReadonlyArray<Published>): number => {
  const times = published.map(({ at }) => at).toSorted((a, b) => a - b)
  let longest = 0
  for (const [index, at] of times.entries()) longest = Math.max(longest, at - (times[index - 1] ?? at))
  return longest / 1_000
}

export const judge = (committed: ReadonlyArray<Committed>, published: ReadonlyArray<Published>): Judgement => {
  const known = new Set(committed.map(({ id }) => id))
  const delivered = new Set(published.map(({ id }) => id))
  const ours = published.filter(({ id }) => known.has(id))
  const keys = [...Map.groupBy(ours, ({ key, topic }) => `${topic} ${key}`).values()].map(judgeKey)
  const sum = (count: (key: (typeof keys)[number]) => number): number =>
    keys.reduce((total, key) => total + count(key), 0)
  return {
    events: committed.length,
    lost: committed.filter(({ id }) => !delivered.has(id)).length,
    invented: published.length - ours.length,
    inversions: sum(({ inversions }) => inversions),
    duplicates: sum(({ duplicates }) => duplicates),
    lateDuplicates: sum(({ lateDuplicates }) => lateDuplicates),
    moved: sum(({ moved }) => Number(moved)),
    silence: silenceOf(ours)
  }
}

/** Of a ledger: keys whose committed events do not count from 1 without a gap. Then the writers are wrong, not the relay. */
export const gaps = (committed: ReadonlyArray<Committed>): ReadonlyArray<string> =>
  [...Map.groupBy(committed, ({ key }) => key)].flatMap(([key, events]) =>
    events
      .map(({ ver }) => ver)
      .toSorted((a, b) => a - b)
      .every((ver, index) => ver === index + 1)
      ? []
      : [key]
  )

/** What a judgement breaks of the promise; empty when it is kept. */
export const broken = (judgement: Judgement): ReadonlyArray<string> =>
  (
    [
      ["lost", judgement.lost],
      ["never committed", judgement.invented],
      ["out of order", judgement.inversions],
      ["keys in two partitions", judgement.moved]
    ] as const
  ).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]))
