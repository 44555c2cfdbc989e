/**
 * A project like that of a user: an empty directory in which the tarballs are installed. Our unit tests and examples
 * are copied into it as its own code, so that they run against what was packed.
 */
import { spawnSync } from "node:child_process"
import { existsSync, globSync, readFileSync, realpathSync } from "node:fs"
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { delimiter, dirname, join, relative, sep } from "node:path"
import { type Packed, root, type Versions } from "./Pack.ts"

export type Manager = "npm" | "pnpm"
/** Which versions to install of everything that the packages name with a range. */
export type Choice = "lowest" | "newest"

export interface Consumer {
  readonly directory: string
  /** The installed versions of what our packages depend on, as text. */
  readonly versions: string
  readonly programs: ReadonlyArray<ReadmeProgram>
  readonly run: (command: string, ...args: ReadonlyArray<string>) => string
  readonly remove: () => Promise<void>
}

/** What the packages need besides one another, from every manifest. */
export const ranges = (packed: ReadonlyArray<Packed>): Versions =>
  Object.fromEntries(
    packed
      .flatMap(({ manifest }) => Object.entries({ ...manifest.dependencies, ...manifest.peerDependencies }))
      .filter(([name]) => !packed.some(({ manifest }) => manifest.name === name))
  )

const lowest = (range: string): string => {
  const version = /^\^?(\d+\.\d+\.\d+(?:-[\w.]+)?)$/u.exec(range)?.[1]
  if (version === undefined) throw new Error(`${range} is neither a version nor a caret range`)
  return version
}

const dependencies = (packed: ReadonlyArray<Packed>, choice: Choice): Versions => ({
  ...Object.fromEntries(packed.map(({ manifest, tarball }) => [manifest.name, `file:${tarball}`])),
  ...Object.fromEntries(
    Object.entries(ranges(packed)).map(([name, range]) => [name, choice === "lowest" ? lowest(range) : range])
  )
})

/** The compiler, the types of Node.js, and what only the tests use, in our own versions. */
const tools = async (): Promise<Versions> => {
  const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"))
  const names = ["typescript", "@types/node", "ajv", "ajv-formats"]
  return Object.fromEntries(names.map((name) => [name, devDependencies[name]]))
}

const relativeImport = /"(\.{1,2}\/[^"]+)"/gu

/**
 * Copies the unit tests and the files that they import. Imports from the package's own `src` are rewritten to the
 * installed package; the tests import every other package by name already.
 */
const copyTests = async (directory: string, { folder, manifest }: Packed): Promise<void> => {
  const from = join(root, "packages", folder)
  const copied = new Set<string>()
  const copy = async (file: string): Promise<void> => {
    if (copied.has(file) || !existsSync(join(from, file))) return
    copied.add(file)
    const place = dirname(join("packages", folder, file))
    const installed = relative(place, join("node_modules", manifest.name))
    const text = (await readFile(join(from, file), "utf8")).replace(relativeImport, (whole, path: string) => {
      const [first = "", ...rest] = join(dirname(file), path).split(sep)
      if (first !== "src") return whole
      const inside = rest.join("/")
      return inside.endsWith(".ts") ? `"${installed}/dist/${inside.slice(0, -3)}.js"` : `"${installed}/src/${inside}"`
    })
    await mkdir(join(directory, place), { recursive: true })
    await writeFile(join(directory, "packages", folder, file), text)
    for (const [, path = ""] of text.matchAll(relativeImport)) {
      if (/\.(?:ts|json)$/u.test(path)) await copy(join(dirname(file), path))
    }
  }
  for (const file of globSync("test/*.unit.test.ts", { cwd: from })) {
    // the mutant tests prove the contract suites, not the package, and take long
    if (!file.endsWith(".mutants.unit.test.ts")) await copy(file)
  }
}

/** A program in a package's README, and its output as the README gives it, if it does. */
export interface ReadmeProgram {
  readonly file: string
  readonly prints: string | undefined
}

const readmeProgram = /```ts\n([\s\S]*?)```\n(?:\n```text\n([\s\S]*?)```)?/gu

/** Copies the programs of the README that is in the tarball. */
const copyReadme = async (directory: string, { folder, manifest }: Packed): Promise<ReadonlyArray<ReadmeProgram>> => {
  const text = await readFile(join(directory, "node_modules", manifest.name, "README.md"), "utf8")
  return Promise.all(
    [...text.matchAll(readmeProgram)].map(async ([, program = "", prints], index) => {
      const file = join("readme", `${folder}-${index + 1}.ts`)
      await writeFile(join(directory, file), program)
      return { file, prints }
    })
  )
}

const compilerOptions = {
  target: "ES2024",
  lib: ["ES2024", "DOM"],
  types: ["node"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  skipLibCheck: false
}

/** Both ways in which today's projects resolve modules. */
export const resolutions = ["nodenext", "bundler"] as const

const writeConfigurations = async (directory: string): Promise<void> => {
  for (const moduleResolution of resolutions) {
    const module = moduleResolution === "bundler" ? "preserve" : "nodenext"
    await writeFile(
      join(directory, `tsconfig.${moduleResolution}.json`),
      JSON.stringify({
        compilerOptions: { ...compilerOptions, module, moduleResolution },
        include: ["readme", "packages", "examples"]
      })
    )
  }
  await writeFile(
    join(directory, "vitest.config.mjs"),
    `export default { test: { include: ["{packages/*,examples}/test/*.unit.test.ts"], maxWorkers: 2, testTimeout: 30_000 } }\n`
  )
}

/** pnpm looks up in the registry what a package needs, even where the project has it. */
const pnpmSettings = (packed: ReadonlyArray<Packed>): string =>
  ["minimumReleaseAge: 0", "overrides:"]
    .concat(packed.map(({ manifest, tarball }) => `  "${manifest.name}": "file:${tarball}"`))
    .join("\n")

const install: Record<Manager, ReadonlyArray<string>> = {
  npm: ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
  pnpm: ["install", "--ignore-scripts", "--reporter=append-only", "--loglevel=warn"]
}

/** The file that a package gets for that name. Effect's services work only when all packages get the same copy. */
const copyOf = (name: string, from: string): string => createRequire(join(from, "package.json")).resolve(name)

const haveOneCopy = (directory: string, packed: ReadonlyArray<Packed>, name: string): void => {
  const own = copyOf(name, directory)
  for (const { manifest } of packed) {
    const theirs = copyOf(name, realpathSync(join(directory, "node_modules", manifest.name)))
    if (theirs !== own) throw new Error(`${manifest.name} has a ${name} of its own: ${theirs}`)
  }
}

/** The versions that were installed. */
const installed = (directory: string, names: ReadonlyArray<string>): string =>
  names
    .map((name) => {
      const { version } = JSON.parse(readFileSync(join(directory, "node_modules", name, "package.json"), "utf8"))
      return `${name} ${version}`
    })
    .join(", ")

export const makeConsumer = async (
  packed: ReadonlyArray<Packed>,
  manager: Manager,
  choice: Choice
): Promise<Consumer> => {
  const directory = await mkdtemp(join(tmpdir(), `invoice-consumer-${manager}-`))
  const path = [join(directory, "node_modules/.bin"), join(root, "node_modules/.bin"), process.env["PATH"]]
  const env = { ...process.env, PATH: path.join(delimiter) }
  const run = (command: string, ...args: ReadonlyArray<string>): string => {
    const { error, signal, status, stderr, stdout } = spawnSync(command, args, {
      cwd: directory,
      encoding: "utf8",
      env
    })
    if (status !== 0) {
      throw new Error(`${[command, ...args].join(" ")} ended (${error ?? signal ?? status}):\n${stdout}${stderr}`)
    }
    return stdout
  }
  const manifest = {
    private: true,
    type: "module",
    dependencies: { ...dependencies(packed, choice), ...(await tools()) }
  }
  await writeFile(join(directory, "package.json"), JSON.stringify(manifest, null, 2))
  if (manager === "pnpm") await writeFile(join(directory, "pnpm-workspace.yaml"), pnpmSettings(packed))
  run(manager, ...install[manager])
  haveOneCopy(directory, packed, "effect")
  await mkdir(join(directory, "readme"))
  const programs: Array<ReadmeProgram> = []
  for (const each of packed) {
    await copyTests(directory, each)
    programs.push(...(await copyReadme(directory, each)))
  }
  await cp(join(root, "examples/src"), join(directory, "examples/src"), { recursive: true })
  await mkdir(join(directory, "examples/test"))
  await cp(join(root, "examples/test/examples.unit.test.ts"), join(directory, "examples/test/examples.unit.test.ts"))
  await writeConfigurations(directory)
  return {
    directory,
    versions: installed(directory, Object.keys(ranges(packed))),
    run,
    programs,
    remove: () => rm(directory, { recursive: true, force: true })
  }
}
