/** A profile of your own: the core rules, and one of yours. `invoice validator --profile ./acme.ts` judges by it. */
import { Profile, type Rule } from "@invoice/core"

/** Our customers' accounting refuses invoices that don't say the purchase order. */
const purchaseOrder: Rule.Rule = {
  code: "ACME-PO",
  severity: "error",
  title: "The notes name the purchase order",
  check: (invoice) =>
    /\bPO-\d+\b/u.test(invoice.notes)
      ? []
      : [{ path: "/notes", message: "no purchase order", expected: "PO- and a number" }]
}

export const acme: Profile.Profile = { name: "acme", version: "1", rules: [...Profile.core.rules, purchaseOrder] }
