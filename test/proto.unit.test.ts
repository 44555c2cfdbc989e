import { execFile } from "node:child_process"
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("..", import.meta.url))

/** What buf says of a copy of the module in which a text is replaced by another. */
const bufOn = async (file: string, from: string, to: string, ...command: ReadonlyArray<string>): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "proto-"))
  try {
    await cp(join(root, "proto"), directory, { recursive: true })
    const text = await readFile(join(directory, file), "utf8")
    assert.include(text, from)
    await writeFile(join(directory, file), text.replace(from, to))
    return await new Promise((resolve) => {
      execFile(join(root, "node_modules/.bin/buf"), command, { cwd: directory }, (_, stdout, stderr) =>
        resolve(stdout + stderr)
      )
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const breaking = ["breaking", "--against", "published.json"]

describe("the protocol buffers", () => {
  it("don't break the clients of what was published, and would be caught if they did", async () => {
    const amount = "  string amount = 3;"
    const file = "invoice/v1/invoice.proto"
    assert.strictEqual(await bufOn(file, amount, amount, ...breaking), "")
    assert.include(await bufOn(file, amount, "  reserved 3;", ...breaking), '"amount"')
    assert.include(await bufOn(file, amount, "  string amount = 10;", ...breaking), "amount")
    assert.include(
      await bufOn("protocol/types/types.proto", "int64 amount = 3", "int32 amount = 3", ...breaking),
      "amount"
    )
  })

  it("say what every message is for, and would be caught if one didn't", async () => {
    const comment = "// A line of an invoice.\n"
    assert.strictEqual(await bufOn("invoice/v1/invoice.proto", comment, comment, "lint"), "")
    assert.include(await bufOn("invoice/v1/invoice.proto", comment, "", "lint"), "Item")
  })
})
