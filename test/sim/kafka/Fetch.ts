/** A leader's answer to a fetch. */
import { type Brokers, codes, type Node } from "./Brokers.ts"

export interface FetchRequest {
  /** In milliseconds. */
  readonly maxWaitTime: number
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly fetchOffset: unknown }>
  }>
}

/** Most records of one partition in an answer. */
const mostRecords = 4

export const read = (brokers: Brokers, node: Node, { topics }: FetchRequest) => {
  let errorCode: number = codes.none
  let hasRecords = false
  const responses = topics.map(({ partitions, topic }) => ({
    topicName: topic,
    partitions: partitions.map(({ fetchOffset, partition: id }) => {
      const partition = brokers.partition(topic, id)
      const from = Number(fetchOffset)
      const log = partition?.log ?? []
      if (partition?.leader !== node.id) errorCode = codes.notLeaderForPartition
      else if (from > log.length) errorCode = codes.offsetOutOfRange
      const records = log.slice(from, from + mostRecords)
      if (records.length > 0) hasRecords = true
      return {
        partition: id,
        errorCode: codes.none,
        highWatermark: String(log.length),
        lastStableOffset: String(log.length),
        abortedTransactions: [],
        preferredReadReplica: -1,
        messages: records.map(({ at, headers, key, offset, value }) => ({
          magicByte: 2,
          attributes: 0,
          batchContext: {},
          isControlRecord: false,
          timestamp: String(Math.round(at)),
          offset: String(offset),
          key: key === null ? null : Buffer.from(key),
          value: Buffer.from(value),
          headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]))
        }))
      }
    })
  }))
  if (errorCode !== codes.none) brokers.failed(errorCode)
  return { errorCode, hasRecords, responses }
}
