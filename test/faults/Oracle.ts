/**
 * The oracle: compares what was committed with what the broker holds. It knows nothing of how the product works.
 */
import * as Expected from "./Expected.ts"
import type { Committed } from "./Ledger.ts"

/** A record of the broker's log that carries an event of this suite's or the pipeline's. */
export interface Published extends Expected.Face {
  readonly partition: number
  readonly offset: bigint
  /** CloudEvents `id`. */
  readonly id: string
  /** When the broker appended it, in milliseconds since the epoch. */
  readonly at: number
}

export interface Judgement {
  /** Committed events. */
  readonly events: number
  /** Committed and not published. */
  readonly lost: number
  /** Published and never committed: rolled back, or never written. */
  readonly invented: number
  /** Records whose topic, key, value or headers are not those of the event that was committed. */
  readonly altered?: number
  /** First deliveries that came after the first delivery of a later event of their key and topic. */
  readonly inversions: number
  /** Deliveries beyond the first. */
  readonly duplicates: number
  /** Duplicates that came after a later event of their key and topic; a consumer detects them by `ver`. */
  readonly lateDuplicates: number
  /** Keys whose records lie in more than one partition of a topic. */
  readonly moved: number
  /** Longest time in seconds in which events waited and not one was published. */
  readonly silence: number
  /** Longest time in seconds that a single event waited, from when it was written to its first record. */
  readonly waited?: number
  /** What the first few altered records look like. */
  readonly samples?: ReadonlyArray<string>
}

/** A published record with the version of its event. */
interface Delivery extends Published {
  readonly ver: number
}

/** The order of a consumer: by offset within a partition, by the time of the append between partitions. */
const inOrder = (a: Delivery, b: Delivery): number =>
  a.partition === b.partition
    ? a.offset < b.offset
      ? -1
      : 1
    : a.at - b.at || a.partition - b.partition || (a.offset < b.offset ? -1 : 1)

const judgeKey = (records: ReadonlyArray<Delivery>) => {
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

/** When the first record of each published event was appended. */
export const firstsOf = (published: ReadonlyArray<Published>): ReadonlyMap<string, number> => {
  const firsts = new Map<string, number>()
  for (const { at, id } of published) firsts.set(id, Math.min(at, firsts.get(id) ?? at))
  return firsts
}

/** Between two records, the silence begins at the oldest event whose first record is the second one or a later one. */
const silenceOf = (committed: ReadonlyArray<Committed>, published: ReadonlyArray<Published>): number => {
  const firsts = firstsOf(published)
  const waiting = committed
    .flatMap(({ at, id }) => {
      const first = firsts.get(id)
      return first === undefined ? [] : [{ at, first }]
    })
    .toSorted((a, b) => b.first - a.first)
  let longest = 0
  let oldest = Number.POSITIVE_INFINITY
  let index = 0
  let next: number | undefined
  // from the end: at each record, the oldest event that was still to come
  for (const at of published.map(({ at }) => at).toSorted((a, b) => b - a)) {
    for (let event = waiting[index]; event !== undefined && event.first >= (next ?? at); event = waiting[++index]) {
      oldest = Math.min(oldest, event.at)
    }
    if (next !== undefined) longest = Math.max(longest, next - Math.max(at, oldest))
    next = at
  }
  return longest / 1_000
}

const waitedOf = (committed: ReadonlyArray<Committed>, published: ReadonlyArray<Published>): number => {
  const firsts = firstsOf(published)
  return committed.reduce((most, { at, id }) => Math.max(most, (firsts.get(id) ?? at) - at), 0) / 1_000
}

const mostSamples = 3

export const judge = (committed: ReadonlyArray<Committed>, published: ReadonlyArray<Published>): Judgement => {
  const known = new Map(committed.map((event) => [event.id, event]))
  const delivered = new Set(published.map(({ id }) => id))
  const ours = published.flatMap((record): ReadonlyArray<Delivery> => {
    const event = known.get(record.id)
    return event === undefined ? [] : [{ ...record, ver: event.ver }]
  })
  const differences = ours.flatMap((record) => {
    const event = known.get(record.id)
    const difference = event === undefined ? "" : Expected.difference(Expected.recordOf(event), record)
    return difference === "" ? [] : [`${record.id}: ${difference}`]
  })
  const keys = [...Map.groupBy(ours, ({ key, topic }) => `${topic} ${key}`).values()].map(judgeKey)
  const sum = (count: (key: (typeof keys)[number]) => number): number =>
    keys.reduce((total, key) => total + count(key), 0)
  return {
    events: committed.length,
    lost: committed.filter(({ id }) => !delivered.has(id)).length,
    invented: published.length - ours.length,
    altered: differences.length,
    inversions: sum(({ inversions }) => inversions),
    duplicates: sum(({ duplicates }) => duplicates),
    lateDuplicates: sum(({ lateDuplicates }) => lateDuplicates),
    moved: sum(({ moved }) => Number(moved)),
    silence: silenceOf(committed, ours),
    waited: waitedOf(committed, ours),
    samples: differences.slice(0, mostSamples)
  }
}

/** Counts the events that were appended, by the brokers' clock, before their key's previous event on any topic. */
export const ahead = (committed: ReadonlyArray<Committed>, published: ReadonlyArray<Published>): number => {
  const firsts = firstsOf(published)
  const at = new Map(committed.map(({ id, key, ver }) => [`${key} ${ver}`, firsts.get(id)]))
  return committed.filter(({ id, key, ver }) => {
    const before = at.get(`${key} ${ver - 1}`)
    const now = firsts.get(id)
    return before !== undefined && now !== undefined && now < before
  }).length
}

/** How often the most frequent record came. */
export const mostOf = (published: ReadonlyArray<Published>): number =>
  [...Map.groupBy(published, ({ id }) => id).values()].reduce((most, { length }) => Math.max(most, length), 0)

/** The keys whose committed events do not count from 1 without a gap: then the writers are wrong, not the relay. */
export const gaps = (committed: ReadonlyArray<Committed>): ReadonlyArray<string> =>
  [...Map.groupBy(committed, ({ key }) => key)].flatMap(([key, events]) =>
    events
      .map(({ ver }) => ver)
      .toSorted((a, b) => a - b)
      .every((ver, index) => ver === index + 1)
      ? []
      : [key]
  )

const counts = (some: ReadonlyArray<readonly [what: string, count: number]>): ReadonlyArray<string> =>
  some.flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]))

/** How a judgement breaks the promise; empty when the promise is kept. */
export const broken = (judgement: Judgement): ReadonlyArray<string> => [
  ...counts([
    ["lost", judgement.lost],
    ["never committed", judgement.invented],
    ["other than they were committed", judgement.altered ?? 0],
    ["out of order", judgement.inversions],
    ["keys in two partitions", judgement.moved]
  ]),
  ...(judgement.samples ?? [])
]

/** What a scene promises besides that. */
export interface Bounds {
  /** Longest that an event may wait for its record, in seconds. */
  readonly bound: number
  /** Whether nothing may come twice, since no program was harmed, or programs were only asked to stop. */
  readonly once?: boolean
}

/** How a judgement breaks its scene's own bounds. */
export const beyond = ({ bound, once }: Bounds, { duplicates, waited = 0 }: Judgement): ReadonlyArray<string> => [
  ...(waited > bound ? [`an event waited ${waited.toFixed(1)} s, which is longer than ${bound} s`] : []),
  ...(once === true && duplicates > 0 ? [`${duplicates} duplicates, where none are allowed`] : [])
]
