/**
 * Packs the packages and checks the tarballs as their users see them: nothing is missing or misleading, types are where
 * their modules are, and plain JavaScript imports every entry of `exports`, with and without the condition `source`.
 */
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { packAll, root } from "./packages/Pack.ts"
import { complaintsAbout, entriesOf } from "./packages/Tarball.ts"

const directory = await mkdtemp(join(tmpdir(), "invoice-packages-"))

const importing = (entries: ReadonlyArray<string>): string =>
  entries.map((entry) => `await import(${JSON.stringify(entry)})`).join("\n")

/** Whether a package's folder can be packed by itself. It must not: `dist` may be stale, the manifest isn't staged. */
const packsItself = (folder: string): boolean => {
  try {
    execFileSync("npm", ["pack", "--dry-run"], { cwd: join(root, "packages", folder), stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

try {
  const modules = join(directory, "node_modules")
  await mkdir(join(modules, "@invoice"), { recursive: true })
  // all dependencies as installed, except our own packages
  for (const name of await readdir(join(root, "node_modules"))) {
    if (name !== "@invoice") await symlink(join(root, "node_modules", name), join(modules, name))
  }
  const entries: Array<string> = []
  const complaints: Array<string> = []
  for (const packed of await packAll(join(directory, "tarballs"))) {
    const { folder, manifest, tarball } = packed
    const unpacked = join(modules, manifest.name)
    await mkdir(unpacked)
    execFileSync("tar", ["-xzf", tarball, "--strip-components=1", "-C", unpacked])
    complaints.push(...(await complaintsAbout(packed, unpacked)))
    if (packsItself(folder)) complaints.push(`packages/${folder} can be packed by itself`)
    entries.push(...entriesOf(unpacked, manifest).map((path) => join(manifest.name, path)))
  }
  for (const complaint of complaints) console.error(`✗ ${complaint}`)
  if (complaints.length > 0) process.exitCode = 1
  for (const conditions of [[], ["--conditions=source"]]) {
    execFileSync(process.execPath, [...conditions, "--input-type=module", "--eval", importing(entries)], {
      cwd: directory,
      stdio: "inherit"
    })
  }
  console.log(`${entries.length} entries imported: ${entries.join(", ")}`)
} finally {
  await rm(directory, { recursive: true, force: true })
}
