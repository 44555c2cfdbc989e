/** The outcome of judging an invoice with a profile: the final status and every reason. */
import type { Final } from "./InvoiceStatus.ts"
import { rejects, type Violation } from "./Violation.ts"

export interface Verdict {
  readonly status: Final
  /** In the order of the profile's rules; warnings included. The same invoice gives the same list, byte for byte. */
  readonly violations: ReadonlyArray<Violation>
  /** Who judged: `<profile>@<version>`, e.g. `core@1`. Kept in the history. */
  readonly by: string
}

/** `Rejected` when a violation is an error, `Approved` otherwise. */
export const fromViolations = (by: string, violations: ReadonlyArray<Violation>): Verdict => ({
  status: rejects(violations) ? "Rejected" : "Approved",
  violations,
  by
})
