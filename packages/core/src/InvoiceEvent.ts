/**
 * What the pipeline tells the world, one event for each change of an invoice, and how an event becomes a message.
 *
 * The value on `new_invoice` is exactly `{"id":"<uuid>"}`: the reference's consumer stops at a field that it doesn't
 * know. On the verdict topics, which no program of the reference reads, it is `{"id", "status", "version"}`, with
 * `violations` when the invoice is rejected or there are warnings.
 *
 * The headers are CloudEvents 1.0 in Kafka's binary content mode (attributes as `ce_…`) with the extension attributes
 * `version` and `status`, and `traceparent` (W3C Trace Context).
 */
import { type InvoiceId, parseId } from "./Invoice.ts"
import { all, type InvoiceStatus } from "./InvoiceStatus.ts"
import type { Change } from "./ports/InvoiceStore.ts"
import type { Timestamp } from "./Timestamp.ts"
import type { Verdict } from "./Verdict.ts"
import type { Violation } from "./Violation.ts"

/** The topics of the pipeline, by the status that an invoice has reached. */
export const topics = {
  Pending: "new_invoice",
  Approved: "invoice_approved",
  Rejected: "invoice_rejected"
} as const satisfies Record<InvoiceStatus, string>

export type Topic = (typeof topics)[InvoiceStatus]

/** CloudEvents `type`, by the status that an invoice has reached. */
const types = {
  Pending: "invoice.created",
  Approved: "invoice.approved",
  Rejected: "invoice.rejected"
} as const satisfies Record<InvoiceStatus, string>

const statuses: ReadonlyMap<string, InvoiceStatus> = new Map(all.map((status) => [types[status], status]))

/** CloudEvents `source` of every event of ours (a URI reference). */
export const source = "/invoice"

/** An event as a use case or a store makes it, before the outbox has given it an id, a place and a time. */
export interface Draft {
  readonly topic: Topic
  /** The invoice's id: what orders events, and the message key. */
  readonly key: InvoiceId
  readonly type: string
  /** Counts the events of one key without gaps, from 1. */
  readonly version: number
  readonly payload: string
}

/** A new invoice was stored and waits for its verdict. */
export const created = (id: InvoiceId): Draft => ({
  topic: topics.Pending,
  key: id,
  type: types.Pending,
  version: 1,
  payload: JSON.stringify({ id })
})

/** An invoice got its verdict; the event carries the reasons. */
export const decided = (id: InvoiceId, version: number, { status, violations }: Verdict): Draft => ({
  topic: topics[status],
  key: id,
  type: types[status],
  version,
  payload: JSON.stringify({
    id,
    status,
    version,
    ...(status === "Rejected" || violations.length > 0 ? { violations } : {})
  })
})

/** An event as the outbox keeps it. */
export interface Recorded {
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

const violationsOf = (payload: Uint8Array): ReadonlyArray<Violation> => {
  const { violations = [] }: { readonly violations?: ReadonlyArray<Violation> } = JSON.parse(decoder.decode(payload))
  return violations
}

/** The change that an event of ours tells of, also one that an earlier version wrote; none when it is no event of ours. */
export const toChange = ({
  at,
  key,
  payload,
  type,
  version
}: Pick<Recorded, "at" | "key" | "payload" | "type" | "version">): Omit<Change, "cursor"> | undefined => {
  const status = statuses.get(type)
  const id = parseId(key)
  return status === undefined || id === undefined
    ? undefined
    : { id, status, version, violations: status === "Pending" ? [] : violationsOf(payload), at }
}

/** What a broker carries. */
export interface Message {
  readonly topic: string
  /** Undefined for messages written by the reference, which has no keys. */
  readonly key: string | undefined
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/** What earlier versions wrote as the value of a new invoice. */
const formerValue = (id: string): string => JSON.stringify({ id, status: "Pending", version: 1 })

const formerLength = formerValue("").length

/** The value as it is written today; only the exact bytes that an earlier version wrote are replaced. */
const currentValue = (type: string | undefined, id: string, value: Uint8Array): Uint8Array =>
  type === types.Pending && value.length === formerLength + id.length && decoder.decode(value) === formerValue(id)
    ? encoder.encode(JSON.stringify({ id }))
    : value

/** The value of an event's message. An event that waits since an earlier version must not stop a strict consumer. */
export const messageValue = ({ key, payload, type }: Pick<Recorded, "key" | "payload" | "type">): Uint8Array =>
  currentValue(type, key, payload)

/** An outbox event as a message in CloudEvents binary mode. */
export const toMessage = (event: Recorded): Message => {
  const status = statuses.get(event.type)
  return {
    topic: event.topic,
    key: event.key,
    value: messageValue(event),
    headers: {
      ce_specversion: "1.0",
      ce_id: event.id,
      ce_type: event.type,
      ce_source: source,
      ce_subject: event.key,
      ce_time: event.at,
      ce_version: String(event.version),
      ...(status === undefined ? {} : { ce_status: status }),
      "content-type": "application/json",
      ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent })
    }
  }
}

/** Whether a message tells of a change of an invoice, by its CloudEvents headers. */
const isOurs = ({ headers }: Message): boolean =>
  headers["ce_source"] === source && statuses.has(headers["ce_type"] ?? "")

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

/** The place of an event among those of its key. */
export interface Identity {
  readonly key: string
  /** From 1. */
  readonly version: number
}

/**
 * Which event of ours a message carries, by its CloudEvents headers: `source`, `type`, `subject` and `version`. Earlier
 * versions told the version in the value. None for whatever else: a value alone proves nothing, others also write
 * `{"id", "version"}`.
 */
export const identityOf = (message: Message): Identity | undefined => {
  const { ce_subject: key = "", ce_version } = message.headers
  if (!isOurs(message) || key === "") {
    return undefined
  }
  if (ce_version === undefined) {
    return formerIdentity(key, message.value)
  }
  return /^[1-9]\d{0,14}$/u.test(ce_version) ? { key, version: Number(ce_version) } : undefined
}

const formerIdentity = (key: string, value: Uint8Array): Identity | undefined => {
  try {
    const { id, version }: { readonly id?: unknown; readonly version?: unknown } = JSON.parse(decoder.decode(value))
    return id === key && typeof version === "number" && Number.isSafeInteger(version) && version > 0
      ? { key, version }
      : undefined
  } catch {
    return undefined
  }
}
