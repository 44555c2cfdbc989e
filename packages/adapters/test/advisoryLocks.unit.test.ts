import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as AdvisoryLocks from "../src/postgres/AdvisoryLocks.ts"

const sources = fileURLToPath(new URL("../src/", import.meta.url))

describe("the numbers of advisory locks", () => {
  it("are all different", () => {
    const numbers = Object.values(AdvisoryLocks).filter((value) => typeof value === "number")
    assert.isNotEmpty(numbers)
    assert.strictEqual(new Set(numbers).size, numbers.length)
  })

  it("are written nowhere else", () => {
    const files = globSync("**/*.ts", { cwd: sources })
    assert.isNotEmpty(files)
    const elsewhere = files.filter(
      (file) =>
        !file.endsWith("AdvisoryLocks.ts") &&
        /4_?021_?\d{3}|pg_(?:try_)?advisory_\w*lock\w*\(\s*\d/u.test(readFileSync(`${sources}${file}`, "utf8"))
    )
    assert.deepStrictEqual(elsewhere, [])
  })
})
