import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { createVitest } from "vitest/node"

const root = fileURLToPath(new URL("..", import.meta.url))

describe("tests", () => {
  it.each(["unit", "int", "e2e"])(
    "%s: test files and global setup read the sources, so nothing need be built",
    async (name) => {
      const vitest = await createVitest("test", { root, project: name, watch: false, reporters: [] })
      try {
        const [project] = vitest.projects
        for (const environment of ["ssr", "__vitest__"]) {
          const found = await project?.vite.environments[environment]?.pluginContainer.resolveId(
            "@invoice/core/Decimal",
            `${root}test/infra/setup.ts`
          )
          assert.strictEqual(found?.id, `${root}packages/core/src/domain/Decimal.ts`, environment)
        }
      } finally {
        await vitest.close()
      }
    }
  )
})
