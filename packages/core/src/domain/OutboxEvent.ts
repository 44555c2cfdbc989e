/**
 * An event as the outbox keeps it, and how it becomes a message.
 *
 * The headers are CloudEvents 1.0 in Kafka's binary content mode (attributes as `ce_…`) with the extension attributes
 * `version` and `status`, and `traceparent` (W3C Trace Context).
 */
import * as InvoiceEvent from "./InvoiceEvent.ts"
import type { InvoiceStatus } from "./InvoiceStatus.ts"
import type { Message } from "./Message.ts"
import type { Timestamp } from "./Timestamp.ts"

export interface OutboxEvent {
  /** Unique for ever: CloudEvents `id`. */
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly type: string
  readonly version: number
  readonly payload: Uint8Array
  /** When it was recorded: CloudEvents `time`. */
  readonly at: Timestamp
  readonly traceparent?: string
}

declare const TextDecoder: new () => { readonly decode: (bytes: Uint8Array) => string }
declare const TextEncoder: new () => { readonly encode: (text: string) => Uint8Array }
const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** The change that an event of this pipeline reports, also one of an earlier version; undefined for any other event. */
export const toChange = (
  event: Pick<OutboxEvent, "at" | "key" | "payload" | "type" | "version">
): InvoiceEvent.InvoiceChange | undefined => {
  const decoded = InvoiceEvent.decode(event)
  return decoded?.status === undefined
    ? undefined
    : {
        id: decoded.id,
        status: decoded.status,
        version: event.version,
        violations: decoded.violations,
        at: event.at
      }
}

/** What earlier versions wrote as the value of a new invoice. */
const formerValue = (id: string): string => JSON.stringify({ id, status: "Pending", version: 1 })

const formerLength = formerValue("").length

/** The value as it is written today; only the exact bytes that an earlier version wrote are replaced. */
const currentValue = (type: string | undefined, id: string, value: Uint8Array): Uint8Array =>
  type === InvoiceEvent.types.Pending &&
  value.length === formerLength + id.length &&
  decoder.decode(value) === formerValue(id)
    ? encoder.encode(JSON.stringify({ id }))
    : value

/**
 * The value of an event's message. An old value that an earlier version left in the outbox is replaced, since it would
 * stop a strict consumer.
 */
export const messageValue = ({ key, payload, type }: Pick<OutboxEvent, "key" | "payload" | "type">): Uint8Array =>
  currentValue(type, key, payload)

/** An outbox event as a message in CloudEvents binary mode. */
export const toMessage = (event: OutboxEvent): Message => {
  const status = InvoiceEvent.statusOf(event.type)
  return {
    topic: event.topic,
    key: event.key,
    value: messageValue(event),
    headers: {
      ce_specversion: "1.0",
      ce_id: event.id,
      ce_type: event.type,
      ce_source: InvoiceEvent.source,
      ce_subject: event.key,
      ce_time: event.at,
      ce_version: String(event.version),
      ...(status === undefined ? {} : { ce_status: status }),
      "content-type": "application/json",
      ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent })
    }
  }
}

/** Whether a message reports a change of an invoice, by its CloudEvents headers. */
const isOurs = ({ headers }: Message): boolean =>
  headers["ce_source"] === InvoiceEvent.source && InvoiceEvent.statusOf(headers["ce_type"] ?? "") !== undefined

/** A message that an earlier version published, as it would be published today; every other message as it is. */
export const upgrade = (message: Message): Message => {
  const { headers } = message
  if (!isOurs(message) || headers["ce_version"] !== undefined) {
    return message
  }
  const value = currentValue(headers["ce_type"], headers["ce_subject"] ?? "", message.value)
  return value === message.value
    ? message
    : { ...message, value, headers: { ...headers, ce_version: "1", ce_status: "Pending" satisfies InvoiceStatus } }
}
