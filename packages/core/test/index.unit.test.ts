import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const sources = new URL("../src/", import.meta.url)

describe("@invoice/core", () => {
  it("exports the whole of every port, the types of its answers too", () => {
    const index = readFileSync(new URL("index.ts", sources), "utf8")
    const ports = readdirSync(new URL("ports/", sources))
    assert.include(ports, "InvoiceStore.ts")
    assert.deepStrictEqual(
      ports.filter((port) => !new RegExp(`^export \\* (as \\w+ )?from "\\./ports/${port}"$`, "mu").test(index)),
      []
    )
  })
})
