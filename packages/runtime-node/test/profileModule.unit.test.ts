/** Profiles from a module that somebody names. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ProfileModule from "@invoice/runtime-node/programs/ProfileModule"
import { Effect } from "effect"

const rule = '{ code: "ACME-1", severity: "error", title: "t", check: () => [] }'
const profile = (name: string): string => `{ name: "${name}", version: "1", rules: [${rule}] }`

describe("a profile's module", () => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "invoice-profile-"))
  })
  afterAll(() => rm(directory, { recursive: true }))

  let files = 0
  const load = async (source: string, extension = "mjs") => {
    const path = join(directory, `${++files}.${extension}`)
    await writeFile(path, source)
    return Effect.runPromise(
      ProfileModule.load(path).pipe(
        Effect.match({ onSuccess: ({ name }) => name, onFailure: ({ message }) => message.replace(path, "FILE") })
      )
    )
  }

  it("has it as the only one among its exports, or as its default", async () => {
    assert.strictEqual(await load(`export const acme = ${profile("acme")}; export const other = 1`), "acme")
    assert.strictEqual(await load(`export const a = ${profile("a")}; export default ${profile("b")}`), "b")
  })

  it("may be TypeScript, such as the example", async () => {
    assert.strictEqual(await load(`export const acme: object = ${profile("acme")}`, "mts"), "acme")
    const example = fileURLToPath(new URL("../../../examples/src/acme.ts", import.meta.url))
    assert.strictEqual((await Effect.runPromise(ProfileModule.load(example))).name, "acme")
  })

  it("is refused, with the reason, when it has none or several, or can't be loaded", async () => {
    for (const source of [
      "export const acme = 1",
      'export const acme = { name: "acme", version: "1" }',
      'export const acme = { name: "", version: "1", rules: [] }',
      `export const acme = { name: "acme", version: "1", rules: [{ ...${rule}, check: "no function" }] }`,
      `export const acme = { name: "acme", version: "1", rules: [{ ...${rule}, severity: "fatal" }] }`
    ]) {
      assert.match(await load(source), /^VALIDATOR_PROFILE: FILE: exports no profile: /u, source)
    }
    assert.include(
      await load(`export const a = ${profile("a")}; export const b = ${profile("b")}`),
      "several profiles (a, b)"
    )
    assert.match(await load("export const = 1"), /^VALIDATOR_PROFILE: FILE: /u)
    assert.match(await load('throw new Error("not today")'), /not today$/u)
    assert.match(
      await Effect.runPromise(Effect.flip(ProfileModule.load("not-there.ts"))).then(({ message }) => message),
      /^VALIDATOR_PROFILE: not-there\.ts: Cannot find module/u
    )
  })
})
