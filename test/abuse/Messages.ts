/** Protobuf messages written by hand, so that attacks can be wrong in any way, and gRPC's framing. */
import { randomUUID } from "node:crypto"

export const service = "/invoice.v1.InvoiceService"

const varint = (value: number): Buffer => {
  const bytes: Array<number> = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

/** A field of wire type 2: text, bytes or a message. */
export const field = (number: number, value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes])
}

/** A field of wire type 0: a number or a boolean. */
export const numeric = (number: number, value: number): Buffer => Buffer.concat([varint(number * 8), varint(value)])

export interface InvoiceOptions {
  readonly id?: string
  readonly lines?: number
  readonly description?: string
  /** Of each line, and the amount. */
  readonly total?: string
  readonly quantity?: string
  readonly amount?: string
}

/** `invoice.v1.Invoice`; valid by default. */
export const invoice = (options: InvoiceOptions = {}): Buffer => {
  const { amount = "10", description = "x", id = randomUUID(), lines = 1, quantity = "1", total = "10" } = options
  const item = Buffer.concat([field(1, description), field(2, quantity), field(3, total), field(4, total)])
  const line = field(8, item)
  return Buffer.concat([
    field(1, id),
    field(2, "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990"),
    field(3, amount),
    field(4, "USD"),
    ...Array.from({ length: lines }, () => line)
  ])
}

/** A message as gRPC frames it. */
export const framed = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

export const create = (options?: InvoiceOptions): Buffer => field(1, invoice(options))
export const get = (id: string): Buffer => field(1, id)
export const watchFromBeginning = numeric(2, 1)
export const watchFromNow = Buffer.alloc(0)
/** @param cursor of a page before */
export const list = (limit: number, cursor = ""): Buffer =>
  Buffer.concat([numeric(4, limit), cursor === "" ? Buffer.alloc(0) : field(5, cursor)])
