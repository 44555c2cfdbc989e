import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { chmod, cp, mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as DataDirectory from "@invoice/runtime-node/embedded/DataDirectory"
import * as Generators from "@invoice/testing/Generators"
import { create, dataDir, decided, launch, type Running, until } from "./Process.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const run = promisify(execFile)

/** Started by npm in a process group of its own; `use` may stop it, and nothing of it stays in any case. */
const withNpm = async (
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
  use: (npm: Running) => Promise<void>
): Promise<void> => {
  const env = { HOME: process.env["HOME"] ?? "", ...options.env }
  const npm = await launch(["npm", ...args], { env, cwd: options.cwd, detached: true })
  try {
    await use(npm)
  } finally {
    if (groupRuns(npm)) {
      process.kill(-(npm.child.pid ?? 0), "SIGTERM")
      await until(
        async () => groupRuns(npm),
        (runs) => !runs,
        12
      ).catch(() => process.kill(-(npm.child.pid ?? 0), "SIGKILL"))
    }
  }
}

const groupRuns = (npm: Running): boolean => {
  try {
    return process.kill(-(npm.child.pid ?? 0), 0)
  } catch {
    return false
  }
}

/** Whether a Postgres runs there, or was killed there. */
const databaseRuns = (directory: string): boolean => existsSync(join(directory, "postgres", "postmaster.pid"))

describe("npm", () => {
  it.each([
    ["npm start", ["start"]],
    ["npm run invoice -- up", ["run", "invoice", "--", "up"]]
  ] as const)("%s hands SIGTERM on: the program stops, npm exits with 0, and no process stays", async (_, args) => {
    const directory = await dataDir()
    try {
      await withNpm(args, { cwd: root, env: { DATA_DIR: directory.path } }, async (npm) => {
        assert.isTrue(databaseRuns(directory.path))
        assert.strictEqual(await npm.stop("SIGTERM"), 0)
        assert.include(npm.output(), "stopping")
        assert.isFalse(groupRuns(npm))
        assert.isFalse(databaseRuns(directory.path))
      })
    } finally {
      await directory.remove()
    }
  })

  it("npm start stops as cleanly on Ctrl-C, which a terminal sends to npm and to the program", async () => {
    const directory = await dataDir()
    try {
      await withNpm(["start"], { cwd: root, env: { DATA_DIR: directory.path } }, async (npm) => {
        process.kill(-(npm.child.pid ?? 0), "SIGINT")
        assert.strictEqual(await npm.stop("SIGINT"), 0)
        assert.isFalse(groupRuns(npm))
        assert.isFalse(databaseRuns(directory.path))
      })
    } finally {
      await directory.remove()
    }
  })
})

/** The project as a clone with its dependencies, in a directory that only its owner may enter. */
const privateClone = async (): Promise<string> => {
  // that of a Mac's temporary directory is a link
  const directory = await realpath(await mkdtemp(join(tmpdir(), "invoice-private-")))
  await chmod(directory, 0o700)
  const { stdout } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root })
  for (const file of stdout.split("\0").filter((name) => name !== "" && existsSync(join(root, name)))) {
    await cp(join(root, file), join(directory, file))
  }
  const modules = [join(root, "node_modules"), directory]
  // hard links where that is one file system: 600 MB
  await run("cp", ["-al", ...modules]).catch(() => run("cp", ["-a", ...modules]))
  return directory
}

const asRoot = process.getuid?.() === 0

describe("root in a directory that only root may enter", () => {
  const unclaimed = asRoot ? "" : " (not claimed: root)"

  it.skipIf(!asRoot)(`npm start says where its data is, and has it after a restart${unclaimed}`, async () => {
    const project = await privateClone()
    const kept = DataDirectory.ofSystem(join(project, ".data"))
    // the server of an earlier version
    await mkdir(join(kept, "server-0"), { recursive: true })
    try {
      const document = Generators.document()
      await withNpm(["start"], { cwd: project }, async (npm) => {
        assert.include(npm.output(), `embedded Postgres in ${kept}, where user postgres can reach it`)
        assert.isTrue(databaseRuns(kept))
        assert.isFalse(existsSync(join(project, ".data")))
        assert.strictEqual((await readdir(kept)).filter((name) => name.startsWith("server-")).length, 1)
        assert.isFalse(existsSync(join(kept, "server-0")))
        assert.strictEqual((await create(npm.url("api"), document)).status, 200)
        await decided(npm.url("api"), document["id"])
        assert.strictEqual(await npm.stop("SIGTERM"), 0)
      })
      await withNpm(["start"], { cwd: project }, async (npm) => {
        assert.strictEqual((await decided(npm.url("api"), document["id"]))["status"], "Approved")
        assert.strictEqual(await npm.stop("SIGTERM"), 0)
      })
    } finally {
      await rm(project, { recursive: true, force: true })
      await rm(kept, { recursive: true, force: true })
    }
  })
})
