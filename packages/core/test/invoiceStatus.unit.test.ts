import { assert, describe, it } from "@effect/vitest"
import * as InvoiceStatus from "../src/domain/InvoiceStatus.ts"

describe("the lifecycle", () => {
  it("leads from Pending to a verdict and no further", () => {
    for (const from of InvoiceStatus.all) {
      for (const to of InvoiceStatus.all) {
        assert.strictEqual(InvoiceStatus.canBecome(from, to), from === "Pending" && to !== "Pending")
      }
    }
  })
})
