/**
 * A profile is data: a name, a version and a list of rules. Users add rules and profiles of their own.
 *
 * @example
 * const strict: Profile.Profile = { name: "strict", version: "1", rules: [...Profile.core.rules, poNumberInNotes] }
 * const validator = ProfileValidator.layer(strict)
 */
import type { Invoice } from "./Invoice.ts"
import * as Rule from "./Rule.ts"
import * as Lines from "./rules/Lines.ts"
import * as Totals from "./rules/Totals.ts"
import * as Verdict from "./Verdict.ts"
import type { Violation } from "./Violation.ts"

export interface Profile {
  readonly name: string
  readonly version: string
  /** Run in this order; violations are listed in this order. */
  readonly rules: ReadonlyArray<Rule.Rule>
}

/** The default: what any invoice in any country has to satisfy. */
export const core: Profile = {
  name: "core",
  version: "1",
  rules: [
    Lines.atLeastOneLine,
    Lines.lineHasDescription,
    Lines.unitPriceNotNegative,
    Lines.quantityNotZero,
    Lines.lineTotalMatches,
    Totals.amountIsSumOfLines,
    Totals.amountNotNegative,
    Totals.dueAfterIssue,
    Totals.currencyIsCurrent
  ]
}

/** Pure: the same invoice gives the same verdict, byte for byte. */
export const judge = (profile: Profile, invoice: Invoice): Verdict.Verdict =>
  Verdict.fromViolations(
    `${profile.name}@${profile.version}`,
    profile.rules.flatMap((rule) => Rule.run(rule, invoice))
  )

/** Runs one rule alone. Throws a `RangeError` that lists the known codes when the profile has no such rule. */
export const runRule = (code: string, invoice: Invoice, profile: Profile = core): ReadonlyArray<Violation> => {
  const rule = profile.rules.find((candidate) => candidate.code === code)
  if (rule === undefined) {
    const known = profile.rules.map((candidate) => candidate.code).join(", ")
    throw new RangeError(`profile ${profile.name} has no rule ${code}; it has ${known}`)
  }
  return Rule.run(rule, invoice)
}
