/**
 * `npm run test:openapi`: runs every check of schemathesis (https://schemathesis.readthedocs.io, MIT) on REST v1 of the real
 * program, on an embedded Postgres. schemathesis is a tool in Python: it is installed into `.cache` with the versions of
 * `requirements.txt`. Without Python this ends with exit code 3 and says so.
 *
 * OPENAPI_EXAMPLES: cases generated for each operation and phase, default 200 (over 3,000 cases in all).
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { dataDir, start } from "../../packages/runtime-node/test/Process.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const here = fileURLToPath(new URL(".", import.meta.url))
const environment = join(root, ".cache", "schemathesis")
const program = join(environment, "bin", "st")
const examples = process.env["OPENAPI_EXAMPLES"] ?? "200"

/** Runs a command in the foreground; answers its exit code, undefined when it can't be started. */
const run = (command: string, args: ReadonlyArray<string>): number | undefined => {
  // hooks.py is found by its module's name
  const env = { ...process.env, PYTHONPATH: here, PYTHONDONTWRITEBYTECODE: "1" }
  const { error, status } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" })
  return error === undefined ? (status ?? 1) : undefined
}

const missing = (what: string): never => {
  console.error(`\n✗ REST v1 was NOT checked with schemathesis: ${what}\n`)
  process.exit(3)
}

const pinned = await readFile(join(here, "requirements.txt"), "utf8")
const installed = join(environment, "requirements.txt")
if (!existsSync(installed) || (await readFile(installed, "utf8")) !== pinned) {
  if (run("python3", ["-m", "venv", "--clear", environment]) !== 0) missing("Python 3 with venv is not there")
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", join(here, "requirements.txt")]
  if (run(join(environment, "bin", "python"), pip) !== 0) missing("its packages can't be installed")
  run("cp", [join(here, "requirements.txt"), installed])
}

const directory = await dataDir()
const server = await start("up", { DATA_DIR: join(directory.path, "data") })
try {
  process.exitCode = run(program, [
    ...["--config-file", join(here, "schemathesis.toml")],
    ...["run", `${server.url("api")}/openapi.json`],
    ...["--max-examples", examples, "--continue-on-failure", "--request-timeout", "20"],
    // a stream without an end: restV1Streams.unit.test.ts has its answers, and so do the tests of clients
    ...["--exclude-path", "/v1/events"],
    ...process.argv.slice(2)
  ])
} finally {
  await server.stop()
  await directory.remove()
}
