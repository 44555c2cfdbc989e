/** How the messages of a publish are split into sends. */
import type { Message } from "@invoice/core/Message"

/** A message of a publish. */
export interface Indexed {
  /** Where it is in what was published. */
  readonly index: number
  readonly message: Message
  /** Bytes in a request, at most. */
  readonly size: number
  /** Where it was put, once it was in a send that was refused; one without key has to go there again. */
  readonly partition?: number
}

/** Of a batch of records beyond them (KIP-98). */
export const batchOverhead = 61

/** Whose order counts: the topic and key; a message without key has nobody to keep it with. */
export const orderedWith = ({ index, message: { key, topic } }: Indexed): string =>
  key === undefined ? `${topic}\0${index}` : `${topic}\0${key}\0`

export interface Bounds {
  /** Most bytes of a send. */
  readonly maxBytes: number
  /** What is known of the largest batch that the topic takes (`max.message.bytes`), in bytes. */
  readonly limitOf: (topic: string) => number | undefined
}

interface Run {
  readonly records: Array<Indexed>
  bytes: number
  /** All that goes to a topic may go to one partition, as one batch. */
  readonly bytesOf: Map<string, number>
}

/** Larger than what its topic is known to take: only the broker can say whether that is still so. */
export const isSuspect = ({ message, size }: Indexed, { limitOf }: Bounds): boolean =>
  batchOverhead + size > (limitOf(message.topic) ?? Number.POSITIVE_INFINITY)

/** Consecutive runs that stay below the bounds; a message larger than that is alone. */
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
