import { execFile } from "node:child_process"
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("..", import.meta.url))

const config = `
import { ClosingLine } from ${JSON.stringify(new URL("reporter.ts", import.meta.url).href)}
export default {
  test: {
    include: ["*.test.ts"],
    globalSetup: ["./setup.mjs"],
    reporters: ["default", new ClosingLine({ required: [{ name: "Postgres", files: /postgres/u }] })]
  }
}
`

const setup = `export const setup = () => () => { console.log("torn down") }`

/** Runs vitest on a suite of its own, `files` being the bodies of test files by name. */
const run = async (files: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) => {
  const directory = await mkdtemp(join(tmpdir(), "reporter-"))
  try {
    await symlink(join(root, "node_modules"), join(directory, "node_modules"))
    await writeFile(join(directory, "vitest.config.mjs"), config)
    await writeFile(join(directory, "setup.mjs"), setup)
    for (const [name, body] of Object.entries(files)) {
      await writeFile(
        join(directory, `${name}.test.ts`),
        `import { beforeAll, describe, expect, it } from "vitest"\n${body}`
      )
    }
    // the parent's own VITEST_* variables would make the child think that it is a worker
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST") && name !== "NODE_OPTIONS")
    )
    return await new Promise<{ code: number; lines: ReadonlyArray<string>; output: string }>((resolve) => {
      const child = execFile(
        process.execPath,
        [join(root, "node_modules/vitest/vitest.mjs"), "run", ...args],
        { cwd: directory, env: { ...env, NO_COLOR: "1", CI: "1" } },
        (_, stdout, stderr) =>
          resolve({ code: child.exitCode ?? -1, lines: stdout.trimEnd().split("\n"), output: stdout + stderr })
      )
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const passing = `it("holds", () => {})`
const failing = `it("does not hold", () => { expect(1).toBe(2) })`

describe.concurrent("the closing line", { timeout: 60_000 }, () => {
  it("is the last line of a run that passes, after the teardown", async () => {
    const { code, lines } = await run({ postgres: passing, other: passing })
    assert.strictEqual(lines.at(-1), "2 passed, 0 failed")
    assert.include(lines, "torn down")
    assert.strictEqual(code, 0)
  })

  it("counts failures and fails", async () => {
    const { code, lines } = await run({ postgres: passing + failing.replace("it(", "\nit(") })
    assert.strictEqual(lines.at(-1), "1 passed, 1 failed")
    assert.strictEqual(code, 1)
  })

  it("counts a file that does not load and a hook that throws as failures", async () => {
    const { code, lines } = await run({
      postgres: passing,
      broken: `throw new Error("not loaded")`,
      hook: `describe("a suite", () => { beforeAll(() => { throw new Error("no") }); it("x (not claimed: y)", () => {}) })`
    })
    assert.match(lines.at(-1) ?? "", /^1 passed, 2 failed(, 1 skipped)?$/u)
    assert.strictEqual(code, 1)
  })

  it("lets a law be skipped that is not claimed", async () => {
    const { code, lines } = await run({ postgres: `${passing}\nit.skip("survives (not claimed: durable)", () => {})` })
    assert.strictEqual(lines.at(-1), "1 passed, 0 failed, 1 skipped")
    assert.strictEqual(code, 0)
  })

  it("fails a run with a test skipped for no stated reason, by name", async () => {
    const { code, lines, output } = await run({ postgres: `${passing}\nit.skip("is forgotten", () => {})` })
    assert.strictEqual(lines.at(-1), "1 passed, 1 failed, 1 skipped")
    assert.match(output, /✗ skipped without .*: is forgotten/u)
    assert.strictEqual(code, 1)
  })

  it("fails a run with a test that is still to do, by name", async () => {
    const { code, output } = await run({ postgres: `${passing}\nit.todo("is promised")` })
    assert.match(output, /✗ skipped without .*: is promised/u)
    assert.strictEqual(code, 1)
  })

  it("fails a full run in which a required suite is missing, by name", async () => {
    const { code, lines, output } = await run({ other: passing })
    assert.match(output, /✗ the Postgres suite did not run/u)
    assert.strictEqual(lines.at(-1), "1 passed, 1 failed")
    assert.strictEqual(code, 1)
  })

  it("fails a full run in which all tests of a required suite were skipped", async () => {
    const { code, output } = await run({ other: passing, postgres: `it.skip("x (not claimed: y)", () => {})` })
    assert.match(output, /✗ the Postgres suite did not run/u)
    assert.strictEqual(code, 1)
  })

  it("asks for no suite in a run that was filtered by file or by name", async () => {
    const files = { other: passing, postgres: failing }
    const byFile = await run(files, "other")
    assert.strictEqual(byFile.lines.at(-1), "1 passed, 0 failed")
    assert.strictEqual(byFile.code, 0)
    const byName = await run(files, "-t", "^holds")
    assert.strictEqual(byName.lines.at(-1), "1 passed, 0 failed, 1 skipped")
    assert.strictEqual(byName.code, 0)
  })

  it("fails a run in which no test ran", async () => {
    const none = await run({})
    assert.match(none.lines.at(-1) ?? "", /^0 passed, [1-9]\d* failed$/u)
    assert.strictEqual(none.code, 1)
    const skipped = await run({ other: `it.skip("x (not claimed: y)", () => {})` }, "other")
    assert.match(skipped.output, /✗ no test ran/u)
    assert.strictEqual(skipped.code, 1)
  })
})
