/**
 * The kinds of problems (RFC 9457) that the server answers with. The kind is the last part of a problem's `type`, which is
 * a path on the same server where the kind is explained.
 */
import type { Problem } from "./Model.ts"

export interface Definition {
  readonly status: number
  readonly title: string
  /** What it means, and what to do. */
  readonly about: string
}

const define = <const Kinds extends Readonly<Record<string, Definition>>>(kinds: Kinds): Kinds => kinds

export const kinds = define({
  "bad-request": {
    status: 400,
    title: "Bad Request",
    about:
      "The request can't be read: a parameter, a header or the body is not what this path takes. Change it as the detail says."
  },
  "malformed-invoice": {
    status: 400,
    title: "Malformed Invoice",
    about:
      "The document does not have the shape of an invoice: a field is missing, has another type or is not known. Each fault is listed with its JSON pointer."
  },
  "invalid-cursor": {
    status: 400,
    title: "Invalid Cursor",
    about: "The cursor was not handed out by this server. Begin without one."
  },
  unauthorized: {
    status: 401,
    title: "Unauthorized",
    about:
      "The request has no valid token. Send one as `Authorization: Bearer …`; the header `WWW-Authenticate` says what is wrong."
  },
  forbidden: {
    status: 403,
    title: "Forbidden",
    about:
      "The token lacks the scope that this path needs, or the request comes from a page of another origin or names a foreign host."
  },
  "not-found": { status: 404, title: "Not Found", about: "There is nothing at this path." },
  "invoice-not-found": { status: 404, title: "Invoice Not Found", about: "No invoice has this id." },
  "method-not-allowed": {
    status: 405,
    title: "Method Not Allowed",
    about: "This path does not answer the method; the header `Allow` lists those that it answers."
  },
  "request-timeout": {
    status: 408,
    title: "Request Timeout",
    about: "The request did not arrive in time. Send it again."
  },
  "invoice-conflict": {
    status: 409,
    title: "Invoice Conflict",
    about: "An invoice with this id exists and has other content. Nothing was changed."
  },
  "cursor-expired": {
    status: 410,
    title: "Cursor Expired",
    about: "The changes after this cursor are no longer kept. List the invoices, and follow the events from now on."
  },
  "stale-version": {
    status: 412,
    title: "Stale Version",
    about: "The invoice has another version than those that `If-Match` names. Get it again."
  },
  "content-too-large": {
    status: 413,
    title: "Content Too Large",
    about: "The body, or a line of an import, has more bytes than the server takes, before or after decompression."
  },
  "unsupported-media-type": {
    status: 415,
    title: "Unsupported Media Type",
    about: "The content type or the content encoding is not one that this path takes."
  },
  "invalid-invoice": {
    status: 422,
    title: "Invalid Invoice",
    about:
      "The document has the shape of an invoice, and a value in it is not possible: a date that doesn't exist, an unknown currency, too many decimals. Each fault is listed with its JSON pointer."
  },
  "idempotency-key-reused": {
    status: 422,
    title: "Idempotency Key Reused",
    about:
      "The idempotency key was used for a request with other content. Nothing was changed; send new content with a new key."
  },
  "too-many-requests": {
    status: 429,
    title: "Too Many Requests",
    about: "The sender's limit is used up. Send the request again after the seconds in the header `Retry-After`."
  },
  "internal-error": {
    status: 500,
    title: "Internal Server Error",
    about: "Something went wrong on the server's side. `instance` is what to look up in its log."
  },
  unavailable: {
    status: 503,
    title: "Service Unavailable",
    about:
      "The server, or what it stands on, takes no requests right now. Send the request again after the seconds in the header `Retry-After`."
  }
})

export type Kind = keyof typeof kinds

export const all: ReadonlyArray<Kind> = Object.keys(kinds) as ReadonlyArray<Kind>

/** A problem's `type`: a path on the server that answered. */
export type Type<K extends Kind = Kind> = `/problems/${K}`

export const typeOf = <K extends Kind>(kind: K): Type<K> => `/problems/${kind}`

/** The first kind with a status: the general one, when there are several. */
export const kindOf = (status: number): Kind | undefined => all.find((kind) => kinds[kind].status === status)

/** Whether a problem is of a kind. */
export const is =
  <K extends Kind>(kind: K) =>
  (problem: Problem): problem is Problem & { readonly type: Type<K> } =>
    problem.type === typeOf(kind)
