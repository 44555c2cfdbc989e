/** A profile of one's own, without a fork and without a program of one's own. */
import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, inject, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { Redacted } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, dataDir, decided, launch, type Running, start } from "./Process.ts"

const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))
const acme = fileURLToPath(new URL("../../../examples/src/acme.ts", import.meta.url))

const programs: ReadonlyArray<readonly [string, (env: Readonly<Record<string, string>>) => Promise<Running>]> = [
  ["--profile", (env) => launch([process.execPath, "--conditions=source", entry, "up", "--profile", acme], { env })],
  ["VALIDATOR_PROFILE", (env) => start("up", { ...env, VALIDATOR_PROFILE: acme })]
]

describe.each(programs)("a profile named by %s", (_, run) => {
  let up: Running

  beforeAll(async () => {
    up = await run({ DATABASE_URL: Redacted.value(await freshDatabase(inject("postgresUrl"))) })
  })
  afterAll(() => up.stop())

  it("gives the verdicts, and says so", async () => {
    const [good, bad] = [Generators.document({ notes: "PO-4711" }), Generators.document({ notes: "thank you" })]
    for (const document of [good, bad]) assert.strictEqual((await create(up.url("api"), document)).status, 200)
    assert.strictEqual((await decided(up.url("api"), good["id"]))["status"], "Approved")
    const rejected = await decided(up.url("api"), bad["id"])
    assert.strictEqual(rejected["status"], "Rejected")
    assert.include(JSON.stringify(rejected), "ACME-PO")
  })
})

describe("invoice validate --profile", () => {
  it("judges files by it", async () => {
    const directory = await dataDir()
    try {
      const file = join(directory.path, "invoice.json")
      await writeFile(file, JSON.stringify(Generators.document({ notes: "thank you" })))
      const command = ["--conditions=source", entry, "validate", "--json", "--profile", acme, file]
      const { code, stdout } = (await promisify(execFile)(process.execPath, command).catch(
        (error: { readonly code: number; readonly stdout: string }) => error as { code?: number; stdout: string }
      )) as { readonly code?: number; readonly stdout: string }
      assert.strictEqual(code, 1)
      assert.include(stdout, "ACME-PO")
    } finally {
      await directory.remove()
    }
  })
})

describe("a profile that can't be used", () => {
  it.each([
    [{ VALIDATOR_PROFILE: "./not-there.ts" }, "VALIDATOR_PROFILE: ./not-there.ts: Cannot find module"],
    [{ VALIDATOR_PROFILE: acme, VALIDATOR: "simulated" }, "VALIDATOR=simulated and VALIDATOR_PROFILE are both set"]
  ])("keeps the program from starting, in a line", async (env, reason) => {
    const url = Redacted.value(await freshDatabase(inject("postgresUrl")))
    const error = await start("api", { DATABASE_URL: url, ...env }).then(
      () => "it started",
      ({ message }: Error) => message
    )
    assert.include(error, `invoice: ${reason}`)
    assert.notMatch(error, /\n\s+at /u)
  })
})
