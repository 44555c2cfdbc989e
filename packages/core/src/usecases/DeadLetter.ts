/**
 * A dead letter: a message that could not be handled, kept on `<topic>.dlq` with the reason. It keeps all of the
 * original: its key or the lack of one, its value to the byte, and its headers, beside the added headers `dlq_…`.
 *
 * A receipt on the same topic records which dead letters were sent again, so that no other storage has to: a receipt is
 * kept at least as long as its dead letters.
 */
import type { Located, Message } from "../domain/Message.ts"
import * as Timestamp from "../domain/Timestamp.ts"

/**
 * Why a message is a dead letter. `Undecodable`, `UnknownInvoice`, `ValidatorDied`: without another try. `Refused`: the
 * store refuses it for good. `TriedTooOften`: it failed too often when it was tried alone.
 */
export type Kind = "Undecodable" | "UnknownInvoice" | "ValidatorDied" | "Refused" | "TriedTooOften"

/** The dead-letter topic of a topic. */
export const topicOf = (topic: string): string => `${topic}${suffix}`

const suffix = ".dlq"

/** A message as it was received. Partition and offset are absent when the caller doesn't know them. */
export interface Received {
  readonly message: Message
  readonly partition?: number
  readonly offset?: string
}

/** A message that could not be handled, and why. */
export interface Unhandled {
  readonly received: Received
  readonly kind: Kind
  /** For people. At most 1,000 characters of it are kept. */
  readonly reason: string
  /** How often it was tried, from 1. */
  readonly attempts: number
}

const headers = {
  kind: "dlq_kind",
  reason: "dlq_reason",
  topic: "dlq_topic",
  partition: "dlq_partition",
  offset: "dlq_offset",
  attempts: "dlq_attempts",
  time: "dlq_time",
  value: "dlq_value"
} as const

const ours: ReadonlySet<string> = new Set(Object.values(headers))
const receiptHeader = "dlq_receipt"

/** The dead letter of a message that could not be handled. */
export const toMessage = ({ attempts, kind, reason, received }: Unhandled, at: Timestamp.Timestamp): Message => ({
  ...received.message,
  topic: topicOf(received.message.topic),
  headers: {
    ...received.message.headers,
    [headers.kind]: kind,
    [headers.reason]: reason.slice(0, 1_000).toWellFormed(),
    [headers.topic]: received.message.topic,
    ...(received.partition === undefined ? {} : { [headers.partition]: `${received.partition}` }),
    ...(received.offset === undefined ? {} : { [headers.offset]: received.offset }),
    [headers.attempts]: `${attempts}`,
    [headers.time]: at
  }
})

/**
 * The dead letter without its value, for one that is too large with its headers. The original message is still where
 * these headers point to.
 */
export const withoutValue = (deadLetter: Message): Message => ({
  ...deadLetter,
  value: new Uint8Array(),
  headers: { ...deadLetter.headers, [headers.value]: "omitted" }
})

/**
 * A dead letter as it is found on its topic. A record that {@link toMessage} did not write has the kind `Unknown` and
 * no reason of its own.
 */
export interface Entry {
  /** Where the dead letter is. */
  readonly partition: number
  readonly offset: string
  readonly key: string | undefined
  readonly kind: string
  readonly reason: string
  readonly attempts: number | undefined
  readonly at: Timestamp.Timestamp | undefined
  /** Where the original message was. */
  readonly from: { readonly topic: string; readonly partition?: number; readonly offset?: string }
  /** The original message, to send again; undefined when its value was too large to keep. */
  readonly original: Message | undefined
}

const numberOf = (text: string | undefined): number | undefined =>
  text === undefined || !/^\d{1,15}$/u.test(text) ? undefined : Number(text)

/** Undefined for a receipt. */
export const parse = ({ message, offset, partition }: Located): Entry | undefined => {
  const its = message.headers
  if (its[receiptHeader] !== undefined) {
    return undefined
  }
  const topic = its[headers.topic] ?? message.topic.slice(0, -suffix.length)
  const fromPartition = numberOf(its[headers.partition])
  const fromOffset = its[headers.offset]
  return {
    partition,
    offset,
    key: message.key,
    kind: its[headers.kind] ?? "Unknown",
    reason: its[headers.reason] ?? "it does not say",
    attempts: numberOf(its[headers.attempts]),
    at: Timestamp.parse(its[headers.time] ?? ""),
    from: {
      topic,
      ...(fromPartition === undefined ? {} : { partition: fromPartition }),
      ...(fromOffset === undefined ? {} : { offset: fromOffset })
    },
    original:
      its[headers.value] === undefined
        ? {
            ...message,
            topic,
            headers: Object.fromEntries(Object.entries(its).filter(([name]) => !ours.has(name)))
          }
        : undefined
  }
}

/** Names a dead letter within its topic. */
export const placeOf = ({ offset, partition }: { readonly partition: number; readonly offset: string }): string =>
  `${partition}/${offset}`

/** The record that says which dead letters were sent again. */
export const receipt = (topic: string, entries: ReadonlyArray<Entry>, at: Timestamp.Timestamp): Message => ({
  topic: topicOf(topic),
  key: undefined,
  value: new Uint8Array(),
  headers: { [receiptHeader]: entries.map(placeOf).join(" "), [headers.time]: at }
})

/** The places of the dead letters that a receipt names; empty for a dead letter. */
export const receiptOf = ({ message }: Located): ReadonlyArray<string> =>
  message.headers[receiptHeader]?.split(" ") ?? []
