/**
 * The expected results, written by hand and independent of the product's code: the wire contract of a record, and the
 * verdicts on the invoices that this suite sends.
 */

/** An event as the outbox holds it. */
export interface Event {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly ver: number
  readonly type: string
  /** Byte for byte (latin1). */
  readonly value: string
  /** When it was written, in milliseconds since the epoch. */
  readonly at: number
  readonly traceparent: string | undefined
}

/** What a consumer sees of a record. */
export interface Face {
  readonly topic: string
  readonly key: string
  /** Byte for byte (latin1). */
  readonly value: string
  readonly headers: Readonly<Record<string, string>>
}

/** The topics of the pipeline, and the type and the status of the events on each. */
export const topics = {
  new_invoice: { type: "invoice.created", status: "Pending" },
  invoice_approved: { type: "invoice.approved", status: "Approved" },
  invoice_rejected: { type: "invoice.rejected", status: "Rejected" }
} as const

const statusOf = (type: string): string | undefined =>
  Object.values(topics).find((topic) => topic.type === type)?.status

/** RFC 3339 in UTC, without zeros at the end of the fraction. */
const timeOf = (millis: number): string => new Date(millis).toISOString().replace(/\.?0*Z$/u, "Z")

/** The record of an event: CloudEvents 1.0 in Kafka's binary mode. */
export const recordOf = ({ at, id, key, topic, traceparent, type, value, ver }: Event): Face => {
  const status = statusOf(type)
  return {
    topic,
    key,
    value,
    headers: {
      ce_specversion: "1.0",
      ce_id: id,
      ce_type: type,
      ce_source: "/invoice",
      ce_subject: key,
      ce_time: timeOf(at),
      ce_version: String(ver),
      ...(status === undefined ? {} : { ce_status: status }),
      "content-type": "application/json",
      ...(traceparent === undefined ? {} : { traceparent })
    }
  }
}

/** How the record of an event differs from the expected one, in words; empty when it doesn't. */
export const difference = (expected: Face, found: Face): string => {
  const parts = ["topic", "key", "value"] as const
  const names = [...new Set([...Object.keys(expected.headers), ...Object.keys(found.headers)])].toSorted()
  return [
    ...parts.map((part) => [part, expected[part], found[part]] as const),
    ...names.map((name) => [name, expected.headers[name], found.headers[name]] as const)
  ]
    .filter(([, wanted, had]) => wanted !== had)
    .map(([name, wanted, had]) => `${name} is ${JSON.stringify(had)}, not ${JSON.stringify(wanted)}`)
    .join("; ")
}

/** An invoice as a client writes it, and the verdict that the rules give it. */
export interface Case {
  readonly overrides: Readonly<Record<string, unknown>>
  readonly status: "Approved" | "Rejected"
  /** The codes of its violations, in the order of the rules. */
  readonly codes: ReadonlyArray<string>
}

const lines = (total: string) => [{ description: "Hosting (1 month)", quantity: 1, unit_price: "1050.00", total }]

/** Kinds of invoices; most of the invoices that are sent are good. */
export const cases = {
  good: { overrides: {}, status: "Approved", codes: [] },
  aCentOff: { overrides: { amount: "1050.01" }, status: "Rejected", codes: ["BR-CO-10"] },
  lineOff: {
    overrides: { items: lines("1051.00"), amount: "1051.00" },
    status: "Rejected",
    codes: ["INV-LINE-TOTAL"]
  }
} as const satisfies Record<string, Case>

/** The exact value of an invoice's first event; the reference decodes it strictly. */
export const createdValue = (id: string): string => JSON.stringify({ id })

/** What is wrong with the value of a verdict's event; undefined when nothing is. Only a rejection must have reasons. */
export const faultOfVerdict = (wanted: { readonly id: string } & Case, value: string): string | undefined => {
  const { id, status, version, violations = [], ...others } = JSON.parse(Buffer.from(value, "latin1").toString("utf8"))
  const codes: ReadonlyArray<string> = violations.map(({ code }: { readonly code: string }) => code)
  const isRight =
    id === wanted.id &&
    status === wanted.status &&
    version === 2 &&
    codes.join() === wanted.codes.join() &&
    Object.keys(others).length === 0
  return isRight ? undefined : `${wanted.id} should be ${wanted.status} ${wanted.codes.join()}, and is ${value}`
}
