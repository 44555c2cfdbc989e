import { assert, describe, it } from "@effect/vitest"
import { apply, patched, patches } from "./Patch.ts"

describe("a patch", () => {
  for (const [name, patch] of Object.entries(patches)) {
    it(`fits the product as it is: ${name}`, () => {
      assert.include(patched(patch), patch.replace)
    })
  }

  it("fails when the product has changed", () => {
    const patch = { file: "some.ts", find: "a", replace: "b" }
    assert.strictEqual(apply(patch, "xay"), "xby")
    assert.throws(() => apply(patch, "xyz"))
    assert.throws(() => apply(patch, "aa"))
  })
})
