import { defaultServerConditions, type ViteUserConfig } from "vite"
import { defineConfig } from "vitest/config"

/** Tests read the TypeScript sources of every package: the `source` export condition needs no build. */
const resolve: ViteUserConfig["resolve"] = { conditions: ["source", ...defaultServerConditions] }
const ssr: ViteUserConfig["ssr"] = { resolve: { conditions: ["source", ...defaultServerConditions] } }

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.unit.test.ts", "test/**/*.unit.test.ts", "examples/test/**/*.unit.test.ts"]
        }
      }
    ]
  }
})
