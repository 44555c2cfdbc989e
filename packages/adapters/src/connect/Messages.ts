/** Converts between the messages of `invoice.v1` and the core's types, both ways, without loss. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { TimestampSchema, Timestamp as WireTimestamp } from "@bufbuild/protobuf/wkt"
import { Invoice, InvoiceParser, Timestamp, type Verdict, type Violation } from "@invoice/core"
import type { InvoiceStatus } from "@invoice/core/InvoiceStatus"
import type { Change, HistoryEntry, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Option, Result } from "effect"
import {
  type ChangeSchema,
  type HistoryEntrySchema,
  type InvoiceSchema,
  type StoredInvoiceSchema,
  type ViolationSchema,
  type Change as WireChange,
  type HistoryEntry as WireHistoryEntry,
  type Invoice as WireInvoice,
  InvoiceStatus as WireInvoiceStatus,
  Severity as WireSeverity,
  type StoredInvoice as WireStoredInvoice,
  type Violation as WireViolation
} from "./gen/invoice/v1/invoice_pb.ts"

const statuses = {
  Pending: WireInvoiceStatus.PENDING,
  Approved: WireInvoiceStatus.APPROVED,
  Rejected: WireInvoiceStatus.REJECTED
} as const satisfies Record<InvoiceStatus, WireInvoiceStatus>

export const fromStatus = (status: InvoiceStatus): WireInvoiceStatus => statuses[status]

/** Undefined for UNSPECIFIED and for what a newer schema may add. */
export const toStatus = (status: WireInvoiceStatus): InvoiceStatus | undefined =>
  (Object.keys(statuses) as ReadonlyArray<InvoiceStatus>).find((name) => statuses[name] === status)

/** A peer sent a message that its schema doesn't allow: a defect of the peer or of ours, never a user's fault. */
export const malformed = (what: string): never => {
  throw new Error(`malformed message: ${what}`)
}

const status = (wire: WireInvoiceStatus): InvoiceStatus => toStatus(wire) ?? malformed(`status ${wire}`)

export const fromTimestamp = (timestamp: Timestamp.Timestamp): MessageInitShape<typeof TimestampSchema> => {
  const fraction = timestamp.slice(20, -1)
  return {
    seconds: BigInt(Date.parse(`${timestamp.slice(0, 19)}Z`) / 1000),
    nanos: Number(fraction.padEnd(9, "0"))
  }
}

/** As text. A message that is no time in the years 0001 to 9999 becomes a text that is no valid time either. */
export const timestampText = (wire: WireTimestamp | undefined): string | undefined => {
  if (wire === undefined) {
    return undefined
  }
  const { nanos, seconds } = wire
  const outside = seconds < -62_135_596_800n || seconds > 253_402_300_799n || nanos < 0 || nanos > 999_999_999
  return outside
    ? `${seconds} s ${nanos} ns`
    : `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, "0")}Z`
}

export const toTimestamp = (wire: WireTimestamp | undefined): Timestamp.Timestamp =>
  Timestamp.parse(timestampText(wire) ?? "") ?? malformed("timestamp")

/** Proto3 doesn't tell an empty text from none. */
const present = (text: string): string | undefined => (text === "" ? undefined : text)

/** The document in a message, for `InvoiceParser.parse`. JSON pointers into it are paths of the message's fields. */
export const toDocument = (wire: WireInvoice | undefined): unknown =>
  wire === undefined
    ? undefined
    : {
        id: present(wire.id),
        customer_id: present(wire.customerId),
        amount: present(wire.amount),
        currency: present(wire.currency),
        due_date: timestampText(wire.dueDate),
        created_at: timestampText(wire.createdAt),
        updated_at: timestampText(wire.updatedAt),
        items: wire.items.map(({ description, quantity, total, unitPrice }) => ({
          description,
          quantity: present(quantity),
          unit_price: present(unitPrice),
          total: present(total)
        })),
        notes: wire.notes
      }

export const fromInvoice = (invoice: Invoice.Invoice): MessageInitShape<typeof InvoiceSchema> => {
  const encoded = Invoice.encode(invoice)
  return {
    id: encoded.id,
    customerId: encoded.customer_id,
    amount: encoded.amount,
    currency: encoded.currency,
    ...(invoice.dueDate && { dueDate: fromTimestamp(invoice.dueDate) }),
    ...(invoice.createdAt && { createdAt: fromTimestamp(invoice.createdAt) }),
    ...(invoice.updatedAt && { updatedAt: fromTimestamp(invoice.updatedAt) }),
    items: encoded.items.map(({ description, quantity, total, unit_price }) => ({
      description,
      quantity,
      unitPrice: unit_price,
      total
    })),
    notes: encoded.notes
  }
}

/** A program of ours has parsed the invoice before, so a failure here means a malformed message. */
export const toInvoice = (wire: WireInvoice | undefined): Invoice.Invoice =>
  Result.getOrElse(InvoiceParser.parse(toDocument(wire)), (error) => malformed(error.message))

export const fromViolation = (violation: Violation.Violation): MessageInitShape<typeof ViolationSchema> => ({
  ...violation,
  severity: violation.severity === "error" ? WireSeverity.ERROR : WireSeverity.WARNING
})

/** With the fields in the core's order, so that the JSON of the violation is the same, byte for byte. */
export const toViolation = (wire: WireViolation): Violation.Violation => ({
  code: wire.code,
  severity: wire.severity === WireSeverity.WARNING ? "warning" : "error",
  path: wire.path,
  message: wire.message,
  ...(wire.expected === undefined ? {} : { expected: wire.expected }),
  ...(wire.actual === undefined ? {} : { actual: wire.actual })
})

export const fromStored = (stored: StoredInvoice): MessageInitShape<typeof StoredInvoiceSchema> => ({
  invoice: fromInvoice(stored.invoice),
  status: fromStatus(stored.status),
  version: stored.version,
  violations: stored.violations.map(fromViolation),
  storedAt: fromTimestamp(stored.storedAt)
})

export const toStored = (wire: WireStoredInvoice | undefined): StoredInvoice =>
  wire === undefined
    ? malformed("no invoice")
    : {
        invoice: toInvoice(wire.invoice),
        status: status(wire.status),
        version: wire.version,
        violations: wire.violations.map(toViolation),
        storedAt: toTimestamp(wire.storedAt)
      }

export const fromHistoryEntry = (entry: HistoryEntry): MessageInitShape<typeof HistoryEntrySchema> => ({
  version: entry.version,
  from: Option.getOrUndefined(Option.map(entry.from, fromStatus)),
  to: fromStatus(entry.to),
  at: fromTimestamp(entry.at),
  by: entry.by,
  violations: entry.violations.map(fromViolation)
})

export const toHistoryEntry = (wire: WireHistoryEntry): HistoryEntry => ({
  version: wire.version,
  from: wire.from === undefined ? Option.none() : Option.some(status(wire.from)),
  to: status(wire.to),
  at: toTimestamp(wire.at),
  by: wire.by,
  violations: wire.violations.map(toViolation)
})

export const fromChange = (change: Change): MessageInitShape<typeof ChangeSchema> => ({
  ...change,
  status: fromStatus(change.status),
  violations: change.violations.map(fromViolation),
  at: fromTimestamp(change.at)
})

export const toChange = (wire: WireChange): Change => ({
  id: Invoice.parseId(wire.id) ?? malformed(`id ${wire.id}`),
  status: status(wire.status),
  version: wire.version,
  violations: wire.violations.map(toViolation),
  at: toTimestamp(wire.at),
  cursor: wire.cursor
})

export const toVerdict = (wire: {
  readonly status: WireInvoiceStatus
  readonly violations: ReadonlyArray<WireViolation>
  readonly by: string
}): Verdict.Verdict => {
  const reached = status(wire.status)
  return {
    status: reached === "Pending" ? malformed("a verdict that is pending") : reached,
    violations: wire.violations.map(toViolation),
    by: wire.by
  }
}

/** Maximum bytes of one message between our own programs: a page of events, or of invoices with many lines. */
export const maxInternalBytes = 67_108_864
