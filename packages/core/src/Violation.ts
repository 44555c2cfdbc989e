/**
 * One reason why an invoice is refused at the door or rejected by a rule.
 *
 * Codes are stable and public. Where EN 16931-1:2017 has a business rule for it, its code is used (`BR-16`,
 * `BR-CO-10`, …), else ours (`INV-…`). `path` is a JSON pointer (RFC 6901) into the document as it was sent.
 * Adapters give a violation back byte for byte: as JSON, with its fields in the order in which they are declared here.
 */
import { Schema } from "effect"

export const Severity = Schema.Literals(["error", "warning"])
export type Severity = typeof Severity.Type

export const Violation = Schema.Struct({
  code: Schema.String,
  severity: Severity,
  path: Schema.String,
  message: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  actual: Schema.optionalKey(Schema.String)
})
export type Violation = typeof Violation.Type

/** Errors reject; warnings are told and change nothing. */
export const rejects = (violations: ReadonlyArray<Violation>): boolean =>
  violations.some((violation) => violation.severity === "error")
