/**
 * Packs each published package and imports every entry of its `exports` the way a user does: from the tarball, in plain
 * JavaScript, without the `source` condition. Needs `npm run build` before.
 */
import { execFileSync } from "node:child_process"
import { existsSync, globSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

interface Package {
  readonly name: string
  readonly private?: boolean
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>
}

const root = fileURLToPath(new URL("..", import.meta.url))
const directory = await mkdtemp(join(tmpdir(), "packages-"))

/** The modules that a package offers: a pattern (`./*`) stands for every file that it matches. */
const entriesOf = (unpacked: string, { name, exports }: Package): ReadonlyArray<string> =>
  Object.entries(exports).flatMap(([path, target]) => {
    for (const file of [target.types, target.default]) {
      if (globSync(file, { cwd: unpacked }).length === 0) throw new Error(`${name}: ${path} has no ${file}`)
    }
    if (!path.includes("*")) return [join(name, path)]
    const [before = "", after = ""] = target.default.replace(/^\.\//u, "").split("*")
    return globSync(`${before}*${after}`, { cwd: unpacked }).map((file) =>
      join(name, path.replace("*", file.slice(before.length, file.length - after.length)))
    )
  })

const importing = (entries: ReadonlyArray<string>): string =>
  entries.map((entry) => `await import(${JSON.stringify(entry)})`).join("\n")

try {
  const modules = join(directory, "node_modules")
  await mkdir(join(modules, "@invoice"), { recursive: true })
  // all dependencies as installed, except our own packages
  for (const name of await readdir(join(root, "node_modules"))) {
    if (name !== "@invoice") await symlink(join(root, "node_modules", name), join(modules, name))
  }
  const entries: Array<string> = []
  for (const folder of await readdir(join(root, "packages"))) {
    const source = join(root, "packages", folder)
    const manifest: Package = JSON.parse(await readFile(join(source, "package.json"), "utf8"))
    if (manifest.private) continue
    const unpacked = join(modules, manifest.name)
    await mkdir(unpacked)
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--silent", "--pack-destination", directory], {
        cwd: source,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"]
      })
    )
    execFileSync("tar", ["-xzf", join(directory, packed.filename), "--strip-components=1", "-C", unpacked])
    if (!existsSync(join(unpacked, "dist"))) throw new Error(`${manifest.name}: no dist, run \`npm run build\` first`)
    entries.push(...entriesOf(unpacked, manifest))
  }
  execFileSync(process.execPath, ["--input-type=module", "--eval", importing(entries)], {
    cwd: directory,
    stdio: "inherit"
  })
  console.log(`${entries.length} entries imported: ${entries.join(", ")}`)
} finally {
  await rm(directory, { recursive: true, force: true })
}
