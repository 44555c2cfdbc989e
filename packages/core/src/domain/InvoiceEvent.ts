/**
 * The events that the pipeline publishes: one for each change of an invoice.
 *
 * The value on `new_invoice` is exactly `{"id":"<uuid>"}`: the reference's consumer stops at a field that it doesn't
 * know. On the verdict topics, which no program of the reference reads, it is `{"id", "status", "version"}`, with
 * `violations` when the invoice is rejected or there are warnings.
 */
import { type InvoiceId, parseId } from "./Invoice.ts"
import { all, type InvoiceStatus } from "./InvoiceStatus.ts"
import type { Message } from "./Message.ts"
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
export const types = {
  Pending: "invoice.created",
  Approved: "invoice.approved",
  Rejected: "invoice.rejected"
} as const satisfies Record<InvoiceStatus, string>

const statuses: ReadonlyMap<string, InvoiceStatus> = new Map(all.map((status) => [types[status], status]))

/** The status that an event of this type reports; undefined when the type is not one of this pipeline. */
export const statusOf = (type: string): InvoiceStatus | undefined => statuses.get(type)

/** CloudEvents `source` of every event of this pipeline (a URI reference). */
export const source = "/invoice"

/** A change of an invoice. */
export interface InvoiceChange {
  readonly id: InvoiceId
  readonly status: InvoiceStatus
  /** Counts the changes of the invoice without gaps, from 1. */
  readonly version: number
  /** The reasons of a verdict. */
  readonly violations: ReadonlyArray<Violation>
  readonly at: Timestamp
}

/** An event as a use case or a store makes it, before the outbox has given it an id, a place and a time. */
export interface Draft {
  readonly topic: Topic
  /** The invoice's id: the message key, and the unit in which events are ordered. */
  readonly key: InvoiceId
  readonly type: string
  /** Counts the events of one key without gaps, from 1. */
  readonly version: number
  readonly payload: string
}

/** The event of a new invoice that waits for its verdict. */
export const created = (id: InvoiceId): Draft => ({
  topic: topics.Pending,
  key: id,
  type: types.Pending,
  version: 1,
  payload: JSON.stringify({ id })
})

/** The event of an invoice's verdict, with the reasons. */
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

/** An event as a database or a broker holds it. */
export interface Encoded {
  /** CloudEvents `type`; undefined when the event is not known to be one of this pipeline. */
  readonly type?: string | undefined
  /** CloudEvents `subject`, the invoice's id. */
  readonly key?: string | undefined
  /** Undefined in messages of earlier versions, which have it in the payload. */
  readonly version?: number | undefined
  readonly payload: Uint8Array
}

/**
 * What an event says. Status and version are undefined when the event has only an id, as the reference writes it, or
 * when its writer is unknown: a payload proves nothing, since other programs also write `{"id", "version"}`.
 */
export interface Decoded {
  readonly id: InvoiceId
  readonly status: InvoiceStatus | undefined
  readonly version: number | undefined
  readonly violations: ReadonlyArray<Violation>
}

/** Reads an event of any writer and any version; undefined when it names no invoice. */
export const decode = ({ key, payload, type, version }: Encoded): Decoded | undefined => {
  const status = type === undefined ? undefined : statuses.get(type)
  const id = status === undefined || key === undefined ? undefined : parseId(key)
  // a creation's payload is not needed, so it is not parsed: most events are creations
  if (id !== undefined && status === "Pending" && version !== undefined) {
    return { id, status, version, violations: [] }
  }
  const parsed = parse(payload)
  if (id === undefined) {
    const named = typeof parsed?.id === "string" ? parseId(parsed.id) : undefined
    return named === undefined ? undefined : { id: named, status: undefined, version: undefined, violations: [] }
  }
  return {
    id,
    status,
    version: version ?? (parsed?.id === key ? positive(parsed?.version) : undefined),
    violations: status !== "Pending" && Array.isArray(parsed?.violations) ? parsed.violations : []
  }
}

/** What a message says, by its CloudEvents headers (`source`, `type`, `subject`, `version`) or else by its value. */
export const fromMessage = ({ headers, value }: Pick<Message, "headers" | "value">): Decoded | undefined => {
  const version = headers["ce_version"]
  const isOurs = headers["ce_source"] === source && (version === undefined || /^[1-9]\d{0,14}$/u.test(version))
  return decode({
    type: isOurs ? headers["ce_type"] : undefined,
    key: headers["ce_subject"],
    version: version === undefined ? undefined : Number(version),
    payload: value
  })
}

interface Payload {
  readonly id?: unknown
  readonly version?: unknown
  readonly violations?: unknown
}

// Node.js and browsers have it; the core is compiled with the types of ECMAScript alone
declare const TextDecoder: new (
  label: string,
  options: { readonly fatal: boolean }
) => { readonly decode: (bytes: Uint8Array) => string }
const utf8 = new TextDecoder("utf-8", { fatal: true })

const parse = (payload: Uint8Array): Payload | undefined => {
  try {
    const value: unknown = JSON.parse(utf8.decode(payload))
    return typeof value === "object" && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

const positive = (version: unknown): number | undefined =>
  typeof version === "number" && Number.isSafeInteger(version) && version > 0 ? version : undefined
