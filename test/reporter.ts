import { relative } from "node:path"
import type { SerializedError } from "vitest"
import type { Reporter, TestCase, TestModule, TestSpecification, Vitest } from "vitest/node"

/** A suite without which a full run proves nothing. */
export interface RequiredSuite {
  readonly name: string
  /** Matched against the paths of test files, relative to the root. */
  readonly files: RegExp
}

/** How the one reason to skip a law is written: its adapter does not claim the feature. */
const notClaimed = /\(not claimed: [^()]+\)$/u

/**
 * Ends a run with the line `N passed, N failed` (`, N skipped` may follow) and fails a run that proves less than it
 * seems to: a test skipped for no stated reason, no test at all, or, unless the run was filtered, a required suite
 * that did not run. Each of these counts as a failure.
 */
export class ClosingLine implements Reporter {
  readonly #required: ReadonlyArray<RequiredSuite>
  #vitest: Vitest | undefined
  #filtered = false
  // a run that ends before its tests did has failed
  #line = "0 passed, 1 failed"

  constructor(options: { readonly required: ReadonlyArray<RequiredSuite> }) {
    this.#required = options.required
  }

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
    // at exit, because teardowns run and print after the last hook of a reporter
    if (!vitest.config.watch) process.once("exit", () => process.stdout.write(`${this.#line}\n`))
  }

  async onTestRunStart(specifications: ReadonlyArray<TestSpecification>): Promise<void> {
    if (this.#vitest === undefined) return
    const all = await this.#vitest.globTestSpecifications()
    this.#filtered =
      specifications.length < all.length ||
      this.#vitest.config.project.length > 0 ||
      this.#vitest.config.testNamePattern !== undefined
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<SerializedError>): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string) => tests.filter((test) => test.result().state === state).length
    const complaints = [...this.#skipped(tests), ...this.#missing(modules), ...(hasRun(tests) ? [] : ["no test ran"])]
    for (const complaint of complaints) process.stderr.write(`✗ ${complaint}\n`)
    const failed =
      count("failed") + count("pending") + modules.flatMap(brokenSuites).length + errors.length + complaints.length
    if (failed > 0) process.exitCode = 1
    const skipped = count("skipped")
    this.#line = `${count("passed")} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`
    if (this.#vitest?.config.watch) process.stdout.write(`${this.#line}\n`)
  }

  #skipped(tests: ReadonlyArray<TestCase>): ReadonlyArray<string> {
    // a name filter skips all that it does not name
    if (this.#vitest?.config.testNamePattern !== undefined) return []
    return tests
      .filter((test) => test.result().state === "skipped" && !notClaimed.test(test.name))
      .map((test) => `skipped without "(not claimed: …)" at the end of its name: ${test.fullName}`)
  }

  #missing(modules: ReadonlyArray<TestModule>): ReadonlyArray<string> {
    if (this.#filtered) return []
    const root = this.#vitest?.config.root ?? ""
    return this.#required
      .filter(({ files }) => {
        const suite = modules.filter((module) => files.test(relative(root, module.moduleId)))
        return !hasRun(suite.flatMap((module) => [...module.children.allTests()]))
      })
      .map(({ name, files }) => `the ${name} suite did not run: no test of ${files}`)
  }
}

const hasRun = (tests: ReadonlyArray<TestCase>): boolean =>
  tests.some((test) => ["passed", "failed"].includes(test.result().state))

/** The files that could not be loaded and the suites whose hooks failed: their tests have no result of their own. */
const brokenSuites = (module: TestModule) =>
  [module, ...module.children.allSuites()].filter((suite) => suite.errors().length > 0)
