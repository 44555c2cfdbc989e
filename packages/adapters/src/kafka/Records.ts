/** Messages as Kafka's records and back. */
import type { Message } from "@invoice/core/Message"
import type { IHeaders, KafkaMessage, Message as Outgoing } from "kafkajs"

/** Of a record beyond its texts, at most: lengths, attributes and deltas (KIP-98). */
const overhead = 40
/** The lengths of a name and a value of less than a megabyte each. */
const headerOverhead = 6

/** What the message takes in a request, in bytes; rather too much than too little. */
export const sizeOf = (message: Message): number => {
  let size = overhead + Buffer.byteLength(message.key ?? "") + message.value.byteLength
  for (const name in message.headers) {
    size += headerOverhead + Buffer.byteLength(name) + Buffer.byteLength(message.headers[name] ?? "")
  }
  return size
}

export const outgoing = ({ key, value, headers }: Message): Outgoing => ({
  key: key ?? null,
  value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  headers: { ...headers }
})

/** A header that was written several times counts once, with its last value. */
const textOf = (value: IHeaders[string]): string | undefined =>
  Array.isArray(value) ? textOf(value.at(-1)) : value?.toString()

/** A record without value (a tombstone) is a message with an empty one. */
export const incoming = (topic: string, { key, value, headers }: KafkaMessage): Message => ({
  topic,
  key: key?.toString(),
  value: value ?? new Uint8Array(),
  headers: Object.fromEntries(
    Object.entries(headers ?? {}).flatMap(([name, header]) => {
      const text = textOf(header)
      return text === undefined ? [] : [[name, text]]
    })
  )
})
