/** Generates packages/adapters/src/connect/gen from proto/, with the pinned buf and plugin; needs no network. */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

execFileSync("buf", ["generate"], {
  cwd: `${root}proto`,
  stdio: "inherit",
  env: { ...process.env, PATH: `${root}node_modules/.bin:${process.env["PATH"] ?? ""}` }
})
