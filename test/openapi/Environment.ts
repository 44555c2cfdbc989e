/** The tools in Python, with the versions of `requirements.txt`, in a virtual environment under `.cache`. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { copyFile, mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Where the sources of these tests are. */
export const here = fileURLToPath(new URL(".", import.meta.url))

/** Where the tools run, and leave what they make. */
export const directory = fileURLToPath(new URL("../../.cache/openapi", import.meta.url))

const environment = join(directory, "venv")

export const binary = (name: string): string => join(environment, "bin", name)

/** Runs a command and shows what it prints; answers its exit code, undefined when it can't be started. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  variables: Readonly<Record<string, string>> = {}
): Promise<number | undefined> =>
  new Promise((resolve) => {
    // hooks.py is found by its module's name
    const env = { ...process.env, PYTHONPATH: here, PYTHONDONTWRITEBYTECODE: "1", ...variables }
    const child = spawn(command, args, { cwd: directory, env, stdio: ["ignore", "inherit", "inherit"] })
    child.once("error", () => resolve(undefined))
    child.once("exit", (code) => resolve(code ?? 1))
  })

/** Installs what is not installed yet. Answers what is missing for that, undefined when all is there. */
export const install = async (): Promise<string | undefined> => {
  await mkdir(directory, { recursive: true })
  const pinned = join(here, "requirements.txt")
  const installed = join(environment, "requirements.txt")
  if (existsSync(installed) && (await readFile(installed, "utf8")) === (await readFile(pinned, "utf8")))
    return undefined
  console.log(`installing the tools of test/openapi/requirements.txt`)
  const made = await run("python3", ["-m", "venv", "--clear", environment])
  if (made === undefined) return "there is no python3: install Python 3.10 or later"
  if (made !== 0) return "python3 can't make virtual environments: install its module venv"
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", pinned]
  if ((await run(binary("python"), pip)) !== 0)
    return "the packages of test/openapi/requirements.txt can't be installed"
  // last, so that an installation that was interrupted is not taken for a whole one
  await copyFile(pinned, installed)
  return undefined
}
