import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Effect } from "effect"
import { dataDir, type Running, start } from "../../packages/runtime-node/test/Process.ts"
import { follow } from "../src/browser-client.ts"

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

  it("node-client tells the outcome of every line", async () => {
    const file = fileURLToPath(new URL("../src/node-client.ts", import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=source", file, server.url("grpc")])
    const [first, second] = stdout.trim().split("\n")
    assert.strictEqual(first, "1: Created 0198d3f0-5a3c-7cc1-8f4e-4d0d6a6f7a01")
    assert.match(second ?? "", /^2: .*\/customer_id: customer_id is missing.*\/currency: is not a currency/u)
  })
})
