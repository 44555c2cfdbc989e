/** Checks a tarball for every way to install it, and answers all complaints. */
import { existsSync, globSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { checkPackage, createPackageFromTarballData, type Problem } from "@arethetypeswrong/core"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { type Exports, type Manifest, moduleComment, type Packed } from "./Pack.ts"

const isHidden = (entry: string, exports: Exports): boolean =>
  Object.entries(exports).some(([path, target]) => target === null && entry.startsWith(path.replace(/\*$/u, "")))

/** The modules that a package offers: a pattern (`./*`) stands for every file that it matches. */
export const entriesOf = (unpacked: string, { exports }: Manifest): ReadonlyArray<string> =>
  Object.entries(exports)
    .flatMap(([path, conditions]) => {
      if (!path.includes("*") || conditions === null) return conditions === null ? [] : [path]
      const [before = "", after = ""] = (conditions["default"] ?? "").replace(/^\.\//u, "").split("*")
      return globSync(`${before}**/*${after}`, { cwd: unpacked }).map((file) =>
        path.replace("*", file.slice(before.length, file.length - after.length))
      )
    })
    .filter((entry) => !isHidden(entry, exports))

const contents = async (unpacked: string, { exports, name }: Manifest): Promise<ReadonlyArray<string>> => {
  const complaints = ["README.md", "LICENSE", "dist", "src"]
    .filter((file) => !existsSync(join(unpacked, file)))
    .map((file) => `has no ${file}`)
  for (const [path, conditions] of Object.entries(exports)) {
    if (conditions === null) continue
    if (conditions["source"] !== undefined) complaints.push(`${path} has the condition "source"`)
    for (const target of [conditions["types"] ?? "", conditions["default"] ?? ""]) {
      if (globSync(target, { cwd: unpacked }).length === 0) complaints.push(`${path} has no ${target}`)
    }
  }
  for (const file of globSync("src/**/*.ts", { cwd: unpacked })) {
    const comment = moduleComment(await readFile(join(unpacked, file), "utf8"))
    const declarations = file.replace(/^src/u, "dist").replace(/\.ts$/u, ".d.ts")
    if (comment !== undefined && !(await readFile(join(unpacked, declarations), "utf8")).includes(comment)) {
      complaints.push(`${declarations} lacks the documentation of its module`)
    }
  }
  return complaints.map((complaint) => `${name} ${complaint}`)
}

const lint = async (unpacked: string, { name }: Manifest): Promise<ReadonlyArray<string>> => {
  const { messages, pkg } = await publint({ pkgDir: unpacked, pack: false, level: "suggestion" })
  return messages.map((message) => `publint: ${name} ${formatMessage(message, pkg, { color: false })}`)
}

/** The packages are ESM only (ADR 0005). CommonJS code gets ESM from them, which our Node.js versions can load. */
const ofCommonJs = (problem: Problem): boolean =>
  ("resolutionKind" in problem && ["node10", "node16-cjs"].includes(problem.resolutionKind)) ||
  ("resolutionOption" in problem && problem.resolutionOption === "node10")

const types = async ({ manifest, tarball }: Packed, entries: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const result = await checkPackage(createPackageFromTarballData(await readFile(tarball)), {
    entrypoints: [...entries]
  })
  if (result.types === false) return [`are the types wrong: ${manifest.name} has none`]
  return result.problems
    .filter((problem) => !ofCommonJs(problem))
    .map((problem) => `are the types wrong: ${manifest.name} ${JSON.stringify(problem)}`)
}

export const complaintsAbout = async (packed: Packed, unpacked: string): Promise<ReadonlyArray<string>> =>
  (
    await Promise.all([
      contents(unpacked, packed.manifest),
      lint(unpacked, packed.manifest),
      types(packed, entriesOf(unpacked, packed.manifest))
    ])
  ).flat()
