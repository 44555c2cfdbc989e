/** Messages as Kafka's records and back. */
import type { Message } from "@invoice/core/Message"
import type { IHeaders, KafkaMessage, Message as Outgoing } from "kafkajs"

/** Maximum bytes of a record beyond its texts: lengths, attributes and deltas (KIP-98). */
const overhead = 40
/** Bytes for the lengths of a header's name and value, each of less than a megabyte. */
const headerOverhead = 6

/** Estimated size of the message in a request, in bytes; rather too high than too low. */
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
