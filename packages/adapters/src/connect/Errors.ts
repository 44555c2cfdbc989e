/**
 * The one table from errors to Connect codes, and back. Beside its code an error may carry `invoice.v1.ErrorDetail`,
 * and an invalid document also carries `google.rpc.BadRequest`, which generic clients know.
 */
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import {
  type ConsumerUnavailable,
  CursorExpired,
  IdempotencyKeyReused,
  InvalidCursor,
  InvalidIdempotencyKey,
  InvalidInvoice,
  InvoiceConflict,
  InvoiceNotFound,
  LeaseLost,
  OutboxRestored,
  type OutboxUnavailable,
  type PublishRefused,
  type PublishTransient,
  StoreUnavailable,
  type Violation
} from "@invoice/core"
import type { InvoiceStatus } from "@invoice/core/InvoiceStatus"
import { Schema } from "effect"
import { BadRequestSchema } from "./gen/google/rpc/error_details_pb.ts"
import { ErrorDetailSchema, InvalidInvoice_Kind, StoreUnavailable_Kind } from "./gen/invoice/v1/errors_pb.ts"
import * as Messages from "./Messages.ts"

/** A value that the reference's messages (thousandths in 64 bits, quantities in 32) can't hold exactly. */
export class AmountNotExact extends Schema.TaggedError<AmountNotExact>()("AmountNotExact", {
  path: Schema.String,
  value: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.value} can't be said exactly in this message`
  }
}

/** The invoice has another verdict already. */
export class InvoiceAlreadyFinal extends Schema.TaggedError<InvoiceAlreadyFinal>()("InvoiceAlreadyFinal", {
  id: Schema.String,
  status: Schema.Literals(["Approved", "Rejected"])
}) {
  override get message(): string {
    return `invoice ${this.id} is ${this.status} already`
  }
}

/** Every error of the core, and those of this adapter. */
export type CallError =
  | InvalidInvoice
  | InvoiceNotFound
  | InvoiceConflict
  | InvalidIdempotencyKey
  | IdempotencyKeyReused
  | InvalidCursor
  | CursorExpired
  | StoreUnavailable
  | OutboxUnavailable
  | OutboxRestored
  | LeaseLost
  | PublishTransient
  | PublishRefused
  | ConsumerUnavailable
  | AmountNotExact
  | InvoiceAlreadyFinal

type Detail = MessageInitShape<typeof ErrorDetailSchema>["error"]

const withDetail = (code: Code, message: string, error: Detail): ConnectError =>
  new ConnectError(message, code, undefined, [{ desc: ErrorDetailSchema, value: { error } }])

/** `/invoice/items/0/unit_price` as `invoice.items[0].unit_price`. */
const fieldPath = (pointer: string): string =>
  pointer
    .slice(1)
    .replace(/\/(\d+)/gu, "[$1]")
    .replaceAll("/", ".")

/**
 * Most bytes of the violations in both details together. gRPC sends details in a trailer, base64 makes them a third larger,
 * and common clients take no more than 8 kB of headers and trailers.
 */
const maxDetailBytes = 2_800

const utf8 = new TextEncoder()
const bytesOf = (text: string | undefined): number => (text === undefined ? 0 : utf8.encode(text).length + 2)

/** The size of a violation in both details, with the tags and lengths around it. */
const detailBytes = ({ actual, code, expected, message, path }: Violation.Violation): number =>
  2 * (bytesOf(code) + bytesOf(path) + bytesOf(message)) + bytesOf(expected) + bytesOf(actual) + 10

/** The first violations, as many as fit, and at least one. The message says how many there are. */
const fitting = (violations: ReadonlyArray<Violation.Violation>): ReadonlyArray<Violation.Violation> => {
  let bytes = 0
  const end = violations.findIndex((violation, index) => {
    bytes += detailBytes(violation)
    return bytes > maxDetailBytes && index > 0
  })
  return end === -1 ? violations : violations.slice(0, end)
}

const invalidInvoice = (error: InvalidInvoice): ConnectError => {
  const violations = fitting(error.violations)
  return new ConnectError(error.message, Code.InvalidArgument, undefined, [
    {
      desc: BadRequestSchema,
      value: {
        fieldViolations: violations.map(({ code, message, path }) => ({
          field: fieldPath(path),
          description: message,
          reason: code.replaceAll("-", "_")
        }))
      }
    },
    {
      desc: ErrorDetailSchema,
      value: {
        error: {
          case: "invalidInvoice",
          value: {
            kind: error.kind === "syntax" ? InvalidInvoice_Kind.SYNTAX : InvalidInvoice_Kind.MEANING,
            violations: violations.map(Messages.fromViolation)
          }
        }
      }
    }
  ])
}

/** Of a value that a client sent, as much as a person needs to know it again. */
const shown = (value: string): string => (value.length > 64 ? `${value.slice(0, 63)}…` : value)

const kinds = {
  unavailable: StoreUnavailable_Kind.UNAVAILABLE,
  retryable: StoreUnavailable_Kind.RETRYABLE
} as const

/**
 * The error that a client gets. Undefined for a defect of ours: the caller logs it and gives the client nothing but an
 * id. A `cause` never leaves the process.
 */
export const toConnect = (error: CallError): ConnectError | undefined => {
  const { message } = error
  switch (error._tag) {
    case "InvalidInvoice":
      return invalidInvoice(error)
    case "InvoiceNotFound":
      return withDetail(Code.NotFound, message, { case: "invoiceNotFound", value: { id: error.id } })
    case "InvoiceConflict":
      return withDetail(Code.AlreadyExists, message, { case: "invoiceConflict", value: { id: error.id } })
    case "InvalidIdempotencyKey":
      return withDetail(Code.InvalidArgument, message, {
        case: "invalidIdempotencyKey",
        value: { reason: error.reason }
      })
    case "IdempotencyKeyReused":
      // not INVALID_ARGUMENT: the request is right by itself, and would be taken with another key, or once this one is forgotten
      return withDetail(Code.FailedPrecondition, message, {
        case: "idempotencyKeyReused",
        value: { key: shown(error.key) }
      })
    case "InvalidCursor":
      return withDetail(Code.InvalidArgument, message, {
        case: "invalidCursor",
        value: { cursor: shown(error.cursor) }
      })
    case "CursorExpired":
      return withDetail(Code.OutOfRange, message, { case: "cursorExpired", value: { cursor: shown(error.cursor) } })
    case "LeaseLost":
      return withDetail(Code.Aborted, message, { case: "leaseLost", value: { lane: error.lane } })
    case "OutboxRestored":
      return withDetail(Code.FailedPrecondition, message, {
        case: "outboxRestored",
        value: { expected: error.expected, found: error.found }
      })
    case "AmountNotExact":
      return withDetail(Code.FailedPrecondition, message, {
        case: "amountNotExact",
        value: { path: error.path, value: error.value }
      })
    case "InvoiceAlreadyFinal":
      return withDetail(Code.FailedPrecondition, message, {
        case: "invoiceAlreadyFinal",
        value: { id: error.id, status: Messages.fromStatus(error.status) }
      })
    case "StoreUnavailable":
      return error.kind === "permanent"
        ? undefined
        : withDetail(Code.Unavailable, message, { case: "storeUnavailable", value: { kind: kinds[error.kind] } })
    case "OutboxUnavailable":
    case "PublishTransient":
    case "ConsumerUnavailable":
      return new ConnectError(message, Code.Unavailable)
    case "PublishRefused":
      return new ConnectError(message, Code.FailedPrecondition)
  }
}

/** The errors that a client gets back as the same errors. */
export type Detailed =
  | InvalidInvoice
  | InvoiceNotFound
  | InvoiceConflict
  | InvalidIdempotencyKey
  | IdempotencyKeyReused
  | InvalidCursor
  | CursorExpired
  | LeaseLost
  | OutboxRestored
  | AmountNotExact
  | InvoiceAlreadyFinal

/** The error that a peer's detail describes, if there is a detail. */
export const fromConnect = (error: ConnectError): Detailed | undefined => {
  const detail = error.findDetails(ErrorDetailSchema)[0]?.error
  switch (detail?.case) {
    case "invalidInvoice":
      return new InvalidInvoice({
        kind: detail.value.kind === InvalidInvoice_Kind.SYNTAX ? "syntax" : "meaning",
        violations: detail.value.violations.map(Messages.toViolation)
      })
    case "invoiceNotFound":
      return new InvoiceNotFound({ id: detail.value.id })
    case "invoiceConflict":
      return new InvoiceConflict({ id: detail.value.id })
    case "invalidIdempotencyKey":
      return new InvalidIdempotencyKey({ reason: detail.value.reason })
    case "idempotencyKeyReused":
      return new IdempotencyKeyReused({ key: detail.value.key })
    case "invalidCursor":
      return new InvalidCursor({ cursor: detail.value.cursor })
    case "cursorExpired":
      return new CursorExpired({ cursor: detail.value.cursor })
    case "leaseLost":
      return new LeaseLost({ lane: detail.value.lane })
    case "outboxRestored":
      return new OutboxRestored({ expected: detail.value.expected, found: detail.value.found })
    case "amountNotExact":
      return new AmountNotExact({ path: detail.value.path, value: detail.value.value })
    case "invoiceAlreadyFinal":
      return new InvoiceAlreadyFinal({
        id: detail.value.id,
        status: (Messages.toStatus(detail.value.status) ?? "Approved") as Exclude<InvoiceStatus, "Pending">
      })
    default:
      return undefined
  }
}

/** A code as Connect writes it, e.g. `invalid_argument`. */
export const codeName = (code: Code): string => Code[code].replace(/(?<=[a-z])[A-Z]/gu, "_$&").toLowerCase()

/** Codes that are not about the request, whether the peer or a proxy between has sent them. */
const outages = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
  // from a peer of another version, or from a proxy
  Code.Unimplemented,
  Code.Unauthenticated,
  Code.PermissionDenied
])

/**
 * The failure of a call to another program's store. A peer's refusal is permanent; a failure on this side, such as an
 * answer that is too large, is retryable, since the request may be at fault.
 */
export const storeUnavailable = (error: ConnectError): StoreUnavailable => {
  const detail = error.findDetails(ErrorDetailSchema)[0]?.error
  const kind =
    detail?.case === "storeUnavailable" && detail.value.kind === StoreUnavailable_Kind.RETRYABLE
      ? "retryable"
      : outages.has(error.code) || error.code === (error.isWireError ? Code.ResourceExhausted : Code.Unknown)
        ? "unavailable"
        : error.isWireError
          ? "permanent"
          : "retryable"
  return new StoreUnavailable({ kind, cause: error })
}

const transient = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted, Code.Aborted])

/** The codes of a broken connection when no peer has sent them. A caller that cancels its call sees no error at all. */
const broken = new Set([Code.Canceled, Code.Unknown])

/** The failure of a client application's call: only a server that is unavailable may be called again. */
export const serverUnavailable = (error: ConnectError): StoreUnavailable =>
  new StoreUnavailable({
    kind: transient.has(error.code) || (broken.has(error.code) && !error.isWireError) ? "unavailable" : "permanent",
    cause: error
  })
