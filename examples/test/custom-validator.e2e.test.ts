import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Redacted } from "effect"
import { create, decided, launch, post, type Running, start } from "../../packages/runtime-node/test/Process.ts"
import { freshDatabase } from "../../test/infra/database.ts"

const example = fileURLToPath(new URL("../src/custom-validator.ts", import.meta.url))

describe("custom-validator", () => {
  const started: Array<Running> = []
  afterAll(async () => {
    for (const running of started.reverse()) assert.strictEqual(await running.stop(), 0)
  })

  it("judges by its own profile, and its own publisher tells of dead letters", async () => {
    const env = {
      DATABASE_URL: Redacted.value(await freshDatabase(inject("postgresUrl"))),
      KAFKA_BROKERS: inject("kafkaBrokers")
    }
    const api = await start("api", env)
    started.push(api, await start("relay", env))
    const validator = await launch([process.execPath, "--conditions=source", example], { env })
    started.push(validator)
    const document = Generators.document({ id: randomUUID(), notes: "thank you" })
    assert.strictEqual((await create(api.url("api"), document)).status, 200)
    const invoice = await decided(api.url("api"), document["id"])
    assert.strictEqual(invoice["status"], "Rejected")
    assert.include(JSON.stringify(invoice), "ACME-PO")
    assert.strictEqual((await post(`${validator.url("metrics")}/nothing`, "")).status, 404)
  })
})
