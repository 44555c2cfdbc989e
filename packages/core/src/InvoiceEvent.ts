/**
 * What the pipeline tells the world, one event for each change of an invoice, and how an event becomes a message.
 *
 * The value is a JSON object with at least `{"id"}`, which is all that the reference writes. The headers are
 * CloudEvents 1.0 in Kafka's binary content mode (attributes as `ce_…`) and `traceparent` (W3C Trace Context).
 */
import type { InvoiceId } from "./Invoice.ts"
import type { InvoiceStatus } from "./InvoiceStatus.ts"
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

interface Value {
  readonly id: InvoiceId
  readonly status: InvoiceStatus
  readonly version: number
  readonly violations?: ReadonlyArray<Violation>
}

const draft = (value: Value): Draft => ({
  topic: topics[value.status],
  key: value.id,
  type: types[value.status],
  version: value.version,
  payload: JSON.stringify(value)
})

/** A new invoice was stored and waits for its verdict. */
export const created = (id: InvoiceId): Draft => draft({ id, status: "Pending", version: 1 })

/** An invoice got its verdict; the event carries the reasons. */
export const decided = (id: InvoiceId, version: number, verdict: Verdict): Draft =>
  draft({ id, status: verdict.status, version, violations: verdict.violations })

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
const utf8 = new TextDecoder()

/** The change that an event of ours tells of; its payload was written by `created` or `decided`. */
export const toChange = ({ at, payload }: Pick<Recorded, "at" | "payload">): Omit<Change, "cursor"> => {
  const { id, status, version, violations = [] }: Value = JSON.parse(utf8.decode(payload))
  return { id, status, version, violations, at }
}

/** What a broker carries. */
export interface Message {
  readonly topic: string
  /** Undefined for messages written by the reference, which has no keys. */
  readonly key: string | undefined
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/** An outbox event as a message in CloudEvents binary mode. */
export const toMessage = (event: Recorded): Message => ({
  topic: event.topic,
  key: event.key,
  value: event.payload,
  headers: {
    ce_specversion: "1.0",
    ce_id: event.id,
    ce_type: event.type,
    ce_source: source,
    ce_subject: event.key,
    ce_time: event.at,
    "content-type": "application/json",
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent })
  }
})
