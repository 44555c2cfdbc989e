import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { ImportedInvoiceInput } from "@invoice/client"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import { dataDir, type Running, start } from "../../packages/runtime-node/test/Process.ts"
import { follow } from "../src/browser-client.ts"
import { judge } from "../src/rest-client.ts"
import { outcomes } from "../src/rest-client-effect.ts"

const execute = promisify(execFile)

describe("the examples of clients", () => {
  let directory: Awaited<ReturnType<typeof dataDir>>
  let server: Running

  beforeAll(async () => {
    directory = await dataDir()
    server = await start("up", { DATA_DIR: directory.path })
  })

  afterAll(async () => {
    await server.stop()
    await directory.remove()
  })

  it("browser-client follows an invoice to its verdict", async () => {
    const document = Generators.document({ amount: "1050.01" })
    const changes = await Effect.runPromise(follow(server.url("api"), { ...document, id: String(document["id"]) }))
    assert.deepStrictEqual(changes, ["Pending", "Rejected BR-CO-10"])
  })

  it("rest-client follows an invoice to its verdict", async () => {
    const input = Generators.document({ amount: "1050.01" }) as unknown as ImportedInvoiceInput
    assert.strictEqual(await judge(server.url("api"), input), "Rejected BR-CO-10 /amount")
  })

  it("rest-client-effect tells the outcome of every line", async () => {
    const input = Generators.document() as unknown as ImportedInvoiceInput
    const lines = await Effect.runPromise(outcomes(server.url("api"), [input, { ...input, currency: "ZZZ" }]))
    assert.deepStrictEqual(lines, ["1: Created", "2: Failed, /currency: is not a currency"])
  })

  it("plain-javascript validates a file, creates the invoice, and prints why it was rejected", async () => {
    const example = fileURLToPath(new URL("../src/plain-javascript.js", import.meta.url))
    const run = async (document: unknown) => {
      const file = join(directory.path, "invoice.json")
      await writeFile(file, JSON.stringify(document))
      const printed = execute(process.execPath, ["--conditions=source", example, file, server.url("api")])
      const { stdout } = await printed.catch((error: { readonly stdout: string }) => error)
      return stdout.trimEnd().split("\n")
    }
    const document = Generators.document({ amount: "1050.01" })
    const reason = "  BR-CO-10 /amount the amount is not the sum of the line totals"
    assert.deepStrictEqual(await run(document), ["here: Rejected", reason, "the platform: Rejected", reason])
    assert.deepStrictEqual(await run({ ...document, amount: "1050.00" }), [
      "here: Approved",
      `the platform: InvoiceConflict, invoice ${document["id"]} exists with other content`
    ])
    assert.deepStrictEqual(await run({ ...document, amuont: "1" }), [
      "here: Invalid",
      "  INV-FIELD /amuont unknown field, did you mean amount?"
    ])
  })

  it("node-client tells the outcome of every line", async () => {
    const file = fileURLToPath(new URL("../src/node-client.ts", import.meta.url))
    const { stdout } = await execute(process.execPath, ["--conditions=source", file, server.url("grpc")])
    const [first, second] = stdout.trim().split("\n")
    assert.strictEqual(first, "1: Created 0198d3f0-5a3c-7cc1-8f4e-4d0d6a6f7a01")
    assert.match(second ?? "", /^2: .*\/customer_id: customer_id is missing.*\/currency: is not a currency/u)
  })
})
