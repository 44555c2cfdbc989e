/** Messages as Kafka's records and back. */
import type { Message } from "@invoice/core/InvoiceEvent"
import type { IHeaders, KafkaMessage, Message as Outgoing, TopicMessages } from "kafkajs"

/** Of a record beyond its texts: lengths, attributes, deltas and the batch's own 61 bytes (KIP-98). */
const overhead = 100
const headerOverhead = 10

/** At least what the message takes in a request, in bytes. */
export const sizeOf = (message: Message): number =>
  overhead +
  Buffer.byteLength(message.key ?? "") +
  message.value.byteLength +
  Object.entries(message.headers).reduce(
    (size, [name, value]) => size + headerOverhead + Buffer.byteLength(name) + Buffer.byteLength(value),
    0
  )

const outgoing = ({ key, value, headers }: Message): Outgoing => ({
  key: key ?? null,
  value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  headers: { ...headers }
})

export const byTopic = (messages: ReadonlyArray<Message>): Array<TopicMessages> =>
  [...Map.groupBy(messages, ({ topic }) => topic)].map(([topic, some]) => ({ topic, messages: some.map(outgoing) }))

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
