/** How the messages of a publish are split into sends. */
import type { Message } from "@invoice/core/Message"

/** A message of a publish. */
export interface Indexed {
  /** Its index in the published batch. */
  readonly index: number
  readonly message: Message
  /** Maximum number of bytes in a request. */
  readonly size: number
  /** Its partition, once it was in a refused send; a message without key has to go there again. */
  readonly partition?: number
}

/** Bytes of a batch beyond its records (KIP-98). */
export const batchOverhead = 61

/** Names the messages that keep an order: those of one topic and key. A message without key has a name of its own. */
export const orderedWith = ({ index, message: { key, topic } }: Indexed): string =>
  key === undefined ? `${topic}\0${index}` : `${topic}\0${key}\0`

export interface Bounds {
  /** Maximum number of bytes of a send. */
  readonly maxBytes: number
  /** The largest batch that the topic takes (`max.message.bytes`), in bytes; undefined when it is not known. */
  readonly limitOf: (topic: string) => number | undefined
}

interface Run {
  readonly records: Array<Indexed>
  bytes: number
  /** By topic, since all records of a topic may go to one partition as one batch. */
  readonly bytesOf: Map<string, number>
}

/** Whether a record is above its topic's known limit. Only the broker can say whether that limit still holds. */
export const isSuspect = ({ message, size }: Indexed, { limitOf }: Bounds): boolean =>
  batchOverhead + size > (limitOf(message.topic) ?? Number.POSITIVE_INFINITY)

/** Consecutive runs that stay within the bounds; a message above them has a run of its own. */
export const runsOf = (
  records: ReadonlyArray<Indexed>,
  { limitOf, maxBytes }: Bounds
): ReadonlyArray<ReadonlyArray<Indexed>> => {
  const runs: Array<Run> = []
  for (const record of records) {
    const { message, size } = record
    const run = runs.at(-1)
    const bytes = batchOverhead + size
    const inTopic = (run?.bytesOf.get(message.topic) ?? batchOverhead) + size
    if (run === undefined || run.bytes + size > maxBytes || inTopic > (limitOf(message.topic) ?? maxBytes)) {
      runs.push({ records: [record], bytes, bytesOf: new Map([[message.topic, bytes]]) })
    } else {
      run.records.push(record)
      run.bytes += size
      run.bytesOf.set(message.topic, inTopic)
    }
  }
  return runs.map((run) => run.records)
}
