/**
 * Builds the packages as they are published. Each is staged in a directory of its own before it is packed, so that a
 * tarball holds nothing that only this repository can use, and nothing that an earlier build left in `dist`.
 */
import { execFileSync } from "node:child_process"
import { globSync } from "node:fs"
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** `null` hides an entry that a pattern would export. */
export type Exports = Readonly<Record<string, Readonly<Record<string, string>> | null>>
export type Versions = Readonly<Record<string, string>>

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly exports: Exports
  readonly dependencies?: Versions
  readonly peerDependencies?: Versions
}

export interface Packed {
  /** As it is published. */
  readonly manifest: Manifest
  /** The file to install. */
  readonly tarball: string
  /** The folder below `packages`. */
  readonly folder: string
}

export const root = fileURLToPath(new URL("../..", import.meta.url))

const readManifest = async (folder: string): Promise<Manifest & { readonly scripts?: unknown }> =>
  JSON.parse(await readFile(join(root, "packages", folder, "package.json"), "utf8"))

/** The manifest without the condition `source`: Node.js does not strip types from files in node_modules. */
const published = ({ scripts: _, ...manifest }: Manifest & { readonly scripts?: unknown }): Manifest => ({
  ...manifest,
  exports: Object.fromEntries(
    Object.entries(manifest.exports).map(([path, target]) => {
      const { source: _, ...conditions } = target ?? {}
      return [path, target === null ? null : conditions]
    })
  )
})

/** The comment at the beginning of a module, if there is one. */
export const moduleComment = (source: string): string | undefined =>
  /^(?:#!.*\n)?(\/\*\*[\s\S]*?\*\/)/u.exec(source)?.[1]

/**
 * tsc drops the comment of a module when the declarations don't need its first import. Puts the comment back, and
 * shifts the lines of the declaration map.
 */
const documented = (
  source: string,
  declaration: string,
  map: string
): { readonly declaration: string; readonly map: string } => {
  const comment = moduleComment(source)
  if (comment === undefined || declaration.includes(comment)) {
    return { declaration, map }
  }
  const [, first = "", rest = ""] = /^(#!.*\n)?([\s\S]*)$/u.exec(declaration) ?? []
  const { mappings, ...others } = JSON.parse(map)
  return {
    declaration: `${first}${comment}\n${rest}`,
    map: JSON.stringify({ ...others, mappings: `${";".repeat(comment.split("\n").length)}${mappings}` })
  }
}

/** Copies what tsc makes of each source, and the source itself, to which the source maps refer. */
const stageModules = async (from: string, to: string): Promise<void> => {
  for (const source of globSync("**/*.ts", { cwd: join(from, "src") })) {
    const built = join("dist", source.replace(/\.ts$/u, ""))
    await mkdir(dirname(join(to, built)), { recursive: true })
    await cp(join(from, "src", source), join(to, "src", source))
    for (const extension of [".js", ".js.map"]) {
      await copyFile(join(from, built + extension), join(to, built + extension))
    }
    const [text, declaration, map] = await Promise.all(
      [join("src", source), `${built}.d.ts`, `${built}.d.ts.map`].map((file) => readFile(join(from, file), "utf8"))
    )
    const result = documented(text ?? "", declaration ?? "", map ?? "")
    await writeFile(join(to, `${built}.d.ts`), result.declaration)
    await writeFile(join(to, `${built}.d.ts.map`), result.map)
  }
}

const stage = async (folder: string, to: string): Promise<Manifest> => {
  const from = join(root, "packages", folder)
  const manifest = published(await readManifest(folder))
  await stageModules(from, to)
  await writeFile(join(to, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`)
  await copyFile(join(from, "README.md"), join(to, "README.md"))
  await copyFile(join(root, "LICENSE"), join(to, "LICENSE"))
  return manifest
}

/** Builds and packs every package that isn't private, into `destination`. */
export const packAll = async (destination: string): Promise<ReadonlyArray<Packed>> => {
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-b"], { cwd: root, stdio: "inherit" })
  const staging = await mkdtemp(join(tmpdir(), "invoice-pack-"))
  try {
    await mkdir(destination, { recursive: true })
    const staged: Array<{ readonly folder: string; readonly manifest: Manifest }> = []
    for (const path of globSync("packages/*/package.json", { cwd: root }).sort()) {
      const folder = path.split(/[/\\]/u)[1] ?? ""
      if ((await readManifest(folder)).private !== true) {
        staged.push({ folder, manifest: await stage(folder, join(staging, folder)) })
      }
    }
    const packed: ReadonlyArray<{ readonly name: string; readonly filename: string }> = JSON.parse(
      execFileSync(
        "npm",
        ["pack", "--json", "--silent", "--pack-destination", destination, ...staged.map(({ folder }) => `./${folder}`)],
        { cwd: staging, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }
      )
    )
    return staged.map(({ folder, manifest }) => {
      const file = packed.find(({ name }) => name === manifest.name)?.filename
      if (file === undefined) throw new Error(`npm packed no ${manifest.name}`)
      return { folder, manifest, tarball: join(destination, file) }
    })
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}
