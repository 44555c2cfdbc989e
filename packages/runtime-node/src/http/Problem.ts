/** RFC 9457 problems, which tell a client what went wrong, and the one table from our errors to them. */

import * as Problems from "@invoice/client/Problems"
import type {
  CursorExpired,
  IdempotencyKeyReused,
  InvalidCursor,
  InvalidIdempotencyKey,
  InvalidInvoice,
  InvoiceConflict,
  InvoiceNotFound,
  StoreUnavailable,
  Violation
} from "@invoice/core"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"

export interface Problem {
  /** Which of the kinds; by default the general kind of the status. */
  readonly kind?: Problems.Kind
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly violations?: ReadonlyArray<Violation.Violation>
  readonly headers?: Readonly<Record<string, string>>
  /** What to look up in the log. */
  readonly instance?: string
}

/** A problem's document. Its `type` is a path on this server, where the kind is explained (RFC 9457, section 3.1.1). */
export const toText = ({ headers: _, kind, ...problem }: Problem): string => {
  const known = kind ?? Problems.kindOf(problem.status)
  return JSON.stringify({ type: known === undefined ? "about:blank" : Problems.typeOf(known), ...problem })
}

/** A problem of a kind, with what there is to say about this occurrence. */
export const of = (kind: Problems.Kind, detail: string, headers?: Readonly<Record<string, string>>): Problem => {
  const { status, title } = Problems.kinds[kind]
  return { kind, status, title, detail, ...(headers === undefined ? {} : { headers }) }
}

export const contentType = "application/problem+json"

export const toResponse = (problem: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(toText(problem), {
    status: problem.status,
    contentType,
    ...(problem.headers === undefined ? {} : { headers: problem.headers })
  })

export type ClientError =
  | InvalidInvoice
  | InvalidIdempotencyKey
  | InvoiceConflict
  | IdempotencyKeyReused
  | InvoiceNotFound
  | InvalidCursor
  | CursorExpired
  | StoreUnavailable

const retryAfter = { "retry-after": "1" }

/**
 * Fails with the problem of an error. A permanent failure of the store is our defect: it is logged with an id, and the
 * client gets nothing but this id.
 */
export const fail = (error: ClientError): Effect.Effect<never, Problem> =>
  error._tag === "StoreUnavailable" && !error.retryable ? Effect.die(error) : Effect.fail(fromError(error))

/** Every error that a use case can fail with. */
export const fromError = (error: ClientError): Problem => {
  switch (error._tag) {
    case "InvalidInvoice":
      return {
        ...of(error.kind === "syntax" ? "malformed-invoice" : "invalid-invoice", error.message),
        violations: error.violations
      }
    case "InvalidCursor":
      return of("invalid-cursor", error.message)
    case "InvalidIdempotencyKey":
      return of("bad-request", error.message)
    case "CursorExpired":
      return of("cursor-expired", error.message)
    case "InvoiceNotFound":
      return of("invoice-not-found", error.message)
    case "InvoiceConflict":
      return of("invoice-conflict", error.message)
    case "IdempotencyKeyReused":
      return of("idempotency-key-reused", error.message)
    case "StoreUnavailable":
      return of("unavailable", error.message, retryAfter)
  }
}

export const notFound: Problem = of("not-found", "there is nothing at this path")

export const methodNotAllowed = (allowed: ReadonlyArray<string>): Problem =>
  of("method-not-allowed", `this path answers ${allowed.join(", ")}`, { allow: allowed.join(", ") })

export const overloaded: Problem = of("unavailable", "too many requests are in hand, try again in a moment", retryAfter)

export const tooSlow: Problem = of("request-timeout", "the body did not come in time")

export const cutOff: Problem = of(
  "unavailable",
  "too many bodies are under way and this one was the slowest, try again in a moment",
  retryAfter
)

export const notReady = (missing: ReadonlyArray<string>): Problem => of("unavailable", missing.join("; "), retryAfter)

export const badRequest = (detail: string): Problem => of("bad-request", detail)

export const forbidden = (detail: string): Problem => of("forbidden", detail)

export const tooLarge = (bytes: number): Problem =>
  of("content-too-large", `the body may have ${bytes} bytes, before and after decompression`)

export const unsupported = (detail: string): Problem => of("unsupported-media-type", detail)

/** The problem of a defect: a client gets nothing but an id to look up in the log. */
export const defect = (instance: string): Problem => ({
  ...of("internal-error", "something went wrong on our side"),
  instance
})
