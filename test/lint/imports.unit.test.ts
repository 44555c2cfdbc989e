/** The picture of imports has no circle and no arrow outwards, imports of types included. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Imports from "./Imports.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The picture of modules that are made up. */
const planted = (sources: Readonly<Record<string, string>>): Imports.Graph => {
  const directory = mkdtempSync(join(tmpdir(), "invoice-imports-"))
  try {
    for (const [file, source] of Object.entries(sources)) {
      mkdirSync(join(directory, dirname(file)), { recursive: true })
      writeFileSync(join(directory, file), source)
    }
    return Imports.read(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const [a, b, c] = ["packages/core/src/domain/A.ts", "packages/core/src/domain/B.ts", "packages/core/src/domain/C.ts"]

describe("our modules", () => {
  const graph = Imports.read(root)

  it("are seen, with what they import", () => {
    assert.isAbove(graph.size, 150)
    assert.isTrue(graph.get("packages/core/src/domain/Money.ts")?.has("packages/core/src/domain/Decimal.ts"))
    assert.isTrue(graph.get("packages/adapters/src/kafka/Records.ts")?.has("packages/core/src/domain/Message.ts"))
  })

  it("are in no circle", () => assert.deepStrictEqual(Imports.circles(graph), []))

  it("of the core import inwards: the domain itself, ports the domain, use cases both", () =>
    assert.deepStrictEqual(Imports.outward(graph), []))
})

describe("a planted violation is found:", () => {
  it.each([
    ["a circle of values", 'export { b } from "./B.ts"', 'import { a } from "./A.ts"\nexport const b = a'],
    ["a circle of types", 'export type { B } from "./B.ts"', 'import type { A } from "./A.ts"\nexport type B = A'],
    ["a circle of a value and a type", 'export * from "./B.ts"', 'import { type A } from "./A.ts"\nexport type B = A'],
    ["a circle by import types", 'export type A = import("./B.ts").B', 'export type B = import("./A.ts").A'],
    ["a circle by dynamic imports", 'export const a = () => import("./B.ts")', 'export * as A from "./A.ts"']
  ])("%s", (_, first, second) => {
    assert.deepStrictEqual(Imports.circles(planted({ [a]: first, [b]: second })), [[a, b]])
  })

  it("a circle of three, beside a module that is in none", () => {
    const graph = planted({
      [a]: 'export type { B } from "./B.ts"',
      [b]: 'export type { C } from "./C.ts"',
      [c]: 'export type { A } from "./A.ts"',
      "packages/core/src/domain/D.ts": 'export type { A } from "./A.ts"'
    })
    assert.deepStrictEqual(Imports.circles(graph), [[a, b, c]])
  })

  it.each([
    ["domain", "ports"],
    ["domain", "usecases"],
    ["ports", "usecases"]
  ])("%s imports %s", (from, to) => {
    const graph = planted({
      [`packages/core/src/${from}/A.ts`]: `import type { B } from "../${to}/B.ts"\nexport type A = B`,
      [`packages/core/src/${to}/B.ts`]: "export type B = string"
    })
    assert.deepStrictEqual(Imports.outward(graph), [
      `packages/core/src/${from}/A.ts imports packages/core/src/${to}/B.ts`
    ])
  })
})
