/**
 * Installs the tarballs in two projects like those of users: one with npm and the lowest versions that the packages'
 * ranges allow, one with pnpm and the newest. In each, types are checked with the resolutions `nodenext` and `bundler`
 * (`skipLibCheck: false`), and the unit tests, the examples and the READMEs' programs run against the tarballs.
 *
 * `node scripts/check-consumers.ts [--short]`: in the short form the newest versions run the examples' tests and the
 * suites of the memory adapters only.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Choice, type Consumer, type Manager, makeConsumer, resolutions } from "./packages/Consumer.ts"
import { type Packed, packAll } from "./packages/Pack.ts"

const { values } = parseArgs({ options: { short: { type: "boolean", default: false } } })

/** The test files that run, by parts of their names; none for all of them. */
const testsOf = (choice: Choice): ReadonlyArray<string> =>
  values.short && choice === "newest" ? ["examples", "memory"] : []

const runReadme = ({ programs, run }: Consumer): void => {
  for (const { file, prints } of programs) {
    if (prints === undefined) continue
    const printed = run("node", file)
    if (printed !== prints) throw new Error(`${file} prints\n${printed}and its README says\n${prints}`)
  }
}

const check = async (packed: ReadonlyArray<Packed>, manager: Manager, choice: Choice): Promise<void> => {
  const start = performance.now()
  const consumer = await makeConsumer(packed, manager, choice)
  try {
    console.log(`${manager}, ${choice} versions: ${consumer.versions}`)
    const version = consumer.run("invoice", "--version")
    if (!version.includes(packed[0]?.manifest.version ?? "")) throw new Error(`invoice --version prints ${version}`)
    runReadme(consumer)
    for (const resolution of resolutions) consumer.run("tsc", "-p", `tsconfig.${resolution}.json`)
    const report = consumer.run("vitest", "run", "--silent", "--reporter=dot", ...testsOf(choice))
    console.log(/^.*Tests .*$/mu.exec(report)?.[0] ?? report)
    console.log(`${Math.round((performance.now() - start) / 1_000)} s`)
  } finally {
    await consumer.remove()
  }
}

const tarballs = await mkdtemp(join(tmpdir(), "invoice-tarballs-"))
try {
  const packed = await packAll(tarballs)
  for (const [manager, choice] of [
    ["npm", "lowest"],
    ["pnpm", "newest"]
  ] as const) {
    await check(packed, manager, choice)
  }
} finally {
  await rm(tarballs, { recursive: true, force: true })
}
