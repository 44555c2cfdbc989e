import { defaultServerConditions } from "vite"
import { defineConfig, type TestProjectInlineConfiguration, type ViteUserConfig } from "vitest/config"
import { ClosingLine } from "./test/reporter.ts"

/** Tests read the TypeScript sources of every package: the `source` export condition needs no build. */
const resolve: ViteUserConfig["resolve"] = { conditions: ["source", ...defaultServerConditions] }
const ssr: ViteUserConfig["ssr"] = { resolve: { conditions: ["source", ...defaultServerConditions] } }

const project = (
  name: "unit" | "int" | "e2e",
  test: TestProjectInlineConfiguration["test"]
): TestProjectInlineConfiguration => ({
  resolve,
  ssr,
  // global setup has an environment of its own
  environments: { __vitest__: { resolve } },
  test: {
    name,
    include: [
      `packages/*/test/**/*.${name}.test.ts`,
      `test/**/*.${name}.test.ts`,
      `examples/test/**/*.${name}.test.ts`
    ],
    hookTimeout: 120_000,
    ...test
  }
})

const infrastructure = "./test/infra/setup.ts"

export default defineConfig({
  test: {
    allowOnly: false,
    // for the two cores of the smallest machine; groups run one after another, so that end-to-end tests are alone
    maxWorkers: 2,
    reporters: [
      "default",
      new ClosingLine({
        required: [
          { name: "Postgres", files: /postgres.*\.int\.test\.ts$/iu },
          { name: "Kafka", files: /kafka.*\.int\.test\.ts$/iu }
        ]
      })
    ],
    projects: [
      project("unit", { testTimeout: 10_000, sequence: { groupOrder: 0 } }),
      project("int", { testTimeout: 30_000, globalSetup: infrastructure, sequence: { groupOrder: 1 } }),
      project("e2e", {
        testTimeout: 120_000,
        globalSetup: infrastructure,
        fileParallelism: false,
        sequence: { groupOrder: 2 }
      })
    ]
  }
})
