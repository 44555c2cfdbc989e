/**
 * The reference service's messages: amounts as thousandths in 64 bits, quantities as whole numbers in 32, ids as 16
 * bytes. A value that they can't hold exactly is an error; it is never rounded or cut off.
 */
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Decimal, type Invoice, Money } from "@invoice/core"
import type { InvoiceStatus } from "@invoice/core/InvoiceStatus"
import { BigDecimal, Result } from "effect"
import { AmountNotExact } from "./Errors.ts"
import {
  type InvoiceSchema,
  type UUIDSchema,
  type Invoice as WireInvoice,
  InvoiceStatus as WireInvoiceStatus,
  type UUID as WireUuid
} from "./gen/protocol/types/types_pb.ts"
import * as Messages from "./Messages.ts"

const statuses = {
  Pending: WireInvoiceStatus.Pending,
  Approved: WireInvoiceStatus.Approved,
  Rejected: WireInvoiceStatus.Rejected
} as const satisfies Record<InvoiceStatus, WireInvoiceStatus>

export const fromStatus = (status: InvoiceStatus): WireInvoiceStatus => statuses[status]

/** As text. A value that is not 16 bytes long is written as hex, for the parser to refuse; an empty one is no id. */
export const uuidText = (uuid: WireUuid | undefined): string | undefined => {
  if (uuid === undefined || uuid.value.length === 0) {
    return undefined
  }
  const hex = Array.from(uuid.value, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return uuid.value.length === 16 ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})/u, "$1-$2-$3-$4-") : hex
}

const fromUuid = (text: string): MessageInitShape<typeof UUIDSchema> => ({
  value: Uint8Array.from(text.replaceAll("-", "").match(/../gu) ?? [], (hex) => Number.parseInt(hex, 16))
})

const fromThousandths = (thousandths: bigint): string => Decimal.format(BigDecimal.make(thousandths, 3))

/** The document in an upload, for `InvoiceParser.parse`. */
export const toDocument = (wire: WireInvoice | undefined): unknown =>
  wire === undefined
    ? undefined
    : {
        id: uuidText(wire.id),
        customer_id: uuidText(wire.customerId),
        amount: fromThousandths(wire.amount),
        currency: wire.currency,
        due_date: Messages.timestampText(wire.dueDate),
        created_at: Messages.timestampText(wire.createdAt),
        updated_at: Messages.timestampText(wire.updatedAt),
        items: wire.items.map(({ description, quantity, total, unitPrice }) => ({
          description,
          quantity: String(quantity),
          unit_price: fromThousandths(unitPrice),
          total: fromThousandths(total)
        })),
        notes: wire.notes
      }

/** The decimal × 10^`scale` as an integer of `bits` bits. */
const scaled = (decimal: Decimal.Decimal, scale: number, bits: 32 | 64, path: string): bigint => {
  const { scale: has, value } = BigDecimal.normalize(decimal)
  const exact = has <= scale ? value * 10n ** BigInt(scale - has) : undefined
  if (exact === undefined || BigInt.asIntN(bits, exact) !== exact) {
    throw new AmountNotExact({ path, value: Decimal.format(decimal) })
  }
  return exact
}

const thousandths = (decimal: Decimal.Decimal, path: string): bigint => scaled(decimal, 3, 64, path)

/** The invoice as a message, or the value of it that the message can't hold. */
export const fromInvoice = (
  invoice: Invoice.Invoice
): Result.Result<MessageInitShape<typeof InvoiceSchema>, AmountNotExact> =>
  Result.try({
    try: () => ({
      id: fromUuid(invoice.id),
      customerId: fromUuid(invoice.customerId),
      amount: thousandths(Money.toDecimal(invoice.amount), "/amount"),
      currency: invoice.amount.currency,
      ...(invoice.dueDate && { dueDate: Messages.fromTimestamp(invoice.dueDate) }),
      ...(invoice.createdAt && { createdAt: Messages.fromTimestamp(invoice.createdAt) }),
      ...(invoice.updatedAt && { updatedAt: Messages.fromTimestamp(invoice.updatedAt) }),
      items: invoice.lines.map(({ description, quantity, total, unitPrice }, index) => ({
        description,
        quantity: Number(scaled(quantity, 0, 32, `/items/${index}/quantity`)),
        unitPrice: thousandths(unitPrice, `/items/${index}/unit_price`),
        total: thousandths(Money.toDecimal(total), `/items/${index}/total`)
      })),
      notes: invoice.notes
    }),
    catch: (error) => {
      if (error instanceof AmountNotExact) {
        return error
      }
      throw error
    }
  })
