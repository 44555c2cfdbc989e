/**
 * One reason why an invoice is refused by the parser or rejected by a rule.
 *
 * Codes are stable and public. Where EN 16931-1:2017 has a business rule for it, its code is used (`BR-16`, `BR-CO-10`,
 * …), else one of this project (`INV-…`). `path` is a JSON pointer (RFC 6901) into the document as it was sent.
 * Adapters give a violation back byte for byte: as JSON, with its fields in the order in which they are declared here.
 */

/** An error rejects the invoice, a warning doesn't. */
export type Severity = "error" | "warning"

export interface Violation {
  readonly code: string
  readonly severity: Severity
  readonly path: string
  readonly message: string
  readonly expected?: string
  readonly actual?: string
}

/** Errors reject; warnings are reported and change nothing. */
export const rejects = (violations: ReadonlyArray<Violation>): boolean =>
  violations.some((violation) => violation.severity === "error")
