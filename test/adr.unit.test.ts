import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const folder = new URL("../docs/adr/", import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, folder), "utf8")
const records = readdirSync(folder)
  .filter((file) => file !== "README.md")
  .sort()

describe("decision records", () => {
  it("are numbered without a gap", () => {
    assert.isNotEmpty(records)
    records.forEach((file, index) => {
      assert.match(file, new RegExp(`^${String(index + 1).padStart(4, "0")}-[a-z0-9-]+\\.md$`, "u"))
    })
  })

  it("have a date and the four sections, in order", () => {
    for (const file of records) {
      assert.match(
        read(file),
        /^# \d{4}\. .+\n\n\d{4}-\d{2}-\d{2}\n\n## Context\n[^#]+## Decision\n[^#]+## Consequences\n[^#]+## Measured \/ Not tested\n[^#]+$/u,
        file
      )
    }
  })

  it("are all in the index, under their titles", () => {
    const links = [...read("README.md").matchAll(/^\| \[\d{4}\]\((.+?)\) \| (.+) \| .+ \|$/gmu)]
    const titles = records.map((file) => [file, read(file).slice("# 0001. ".length).split("\n")[0]])
    assert.deepEqual(
      links.map(([, file, title]) => [file, title]),
      titles
    )
  })
})
