/** A rule of validation: a pure function from an invoice to the findings about it. */
import type { Invoice } from "./Invoice.ts"
import type { Severity, Violation } from "./Violation.ts"

/** One thing that a rule found. */
export interface Finding {
  /** JSON pointer (RFC 6901) into the encoded invoice, such as `/items/0/total`. */
  readonly path: string
  readonly message: string
  readonly expected?: string
  readonly actual?: string
}

export interface Rule {
  /** Stable and public; EN 16931's code where it has the rule, else `INV-…`. */
  readonly code: string
  readonly severity: Severity
  readonly title: string
  /** Where the rule comes from. */
  readonly source?: string
  readonly check: (invoice: Invoice) => ReadonlyArray<Finding>
}

/** What a rule finds, as violations. */
export const run = (rule: Rule, invoice: Invoice): ReadonlyArray<Violation> =>
  rule.check(invoice).map((finding) => ({ code: rule.code, severity: rule.severity, ...finding }))
