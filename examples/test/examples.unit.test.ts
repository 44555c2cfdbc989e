import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import * as CustomAdapter from "../src/custom-adapter.ts"

const run = async (name: string): Promise<string> => {
  const file = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url))
  return (await promisify(execFile)(process.execPath, ["--conditions=source", file])).stdout
}

describe("the examples", () => {
  it("quick-start prints a verdict with its reasons", async () => {
    assert.strictEqual(await run("quick-start"), "Rejected: BR-CO-10 the amount is not the sum of the line totals\n")
  })

  it("custom-profile rejects by its own rule", async () => {
    const verdict = JSON.parse(await run("custom-profile"))
    assert.strictEqual(verdict.by, "acme@1")
    assert.deepStrictEqual(
      verdict.violations.map(({ code }: { readonly code: string }) => code),
      ["ACME-PO"]
    )
  })
})

InvoiceStoreContract.suite("the custom adapter's store", CustomAdapter.layer)
OutboxContract.suite("the custom adapter's outbox", CustomAdapter.layer)
