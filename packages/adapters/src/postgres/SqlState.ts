/** The kind of a statement's failure, by the code that Postgres gave it (PostgreSQL documentation, appendix A). */
import type { StoreUnavailable } from "@invoice/core"
import type { SqlError } from "effect/sql"

type Kind = StoreUnavailable["kind"]

/**
 * By class, the first two characters. A class that is not listed is retryable, since the request may be at fault: 40
 * (rolled back: a deadlock, a serialization failure), 55 (a lock that is not available).
 */
const classes: Readonly<Record<string, Kind>> = {
  "08": "unavailable", // connection
  "0A": "unavailable", // not supported: a plan that was made before a migration
  "21": "permanent", // cardinality
  "22": "permanent", // data
  "23": "permanent", // integrity constraint
  "25": "unavailable", // transaction state: 25006 is a standby
  "26": "unavailable", // a prepared statement that the server doesn't have
  "28": "unavailable", // authorization
  "3D": "unavailable", // no such database
  "3F": "unavailable", // no such schema
  "42": "unavailable", // no such table or column, no privilege
  "44": "permanent", // with check option
  "53": "unavailable", // resources: 53100 is a full disk
  "54": "permanent", // program limit: a row that is too large
  "57": "unavailable", // operator: 57014 is a statement's deadline, 57P01 a shutdown
  "58": "unavailable", // the system around Postgres
  F0: "unavailable", // configuration file
  P0: "permanent", // raised by a trigger
  XX: "unavailable" // internal
}

/** Data or an index is damaged, perhaps only where this request needs it: retryable, unlike the rest of class XX. */
const damaged: ReadonlySet<string> = new Set(["XX001", "XX002"])

/** Failures without a code that are unavailable: the client detects them by itself. */
const withoutCode: ReadonlySet<SqlError.SqlErrorReason["_tag"]> = new Set([
  "ConnectionError",
  "AuthenticationError",
  "AuthorizationError",
  "StatementTimeoutError"
])

/** The SQLSTATE that the server gave; undefined when the client failed. */
export const of = ({ reason }: SqlError.SqlError): string | undefined => {
  const { cause } = reason
  // an error of Node.js has a code too (EPIPE), and no severity
  return typeof cause === "object" &&
    cause !== null &&
    "severity" in cause &&
    "code" in cause &&
    typeof cause.code === "string"
    ? cause.code
    : undefined
}

export const kindOf = (error: SqlError.SqlError): Kind => {
  const code = of(error)
  if (code === undefined) {
    return withoutCode.has(error.reason._tag) ? "unavailable" : "retryable"
  }
  return damaged.has(code) ? "retryable" : (classes[code.slice(0, 2)] ?? "retryable")
}
