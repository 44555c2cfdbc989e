/** Tokens with the real program, as a user turns them on. */
import { execFile } from "node:child_process"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Generators from "@invoice/testing/Generators"
import { dataDir, post, type Running, start } from "./Process.ts"

const entry = fileURLToPath(new URL("../src/bin/invoice.ts", import.meta.url))

interface Printed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const invoice = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Promise<Printed> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--conditions=source", entry, ...args],
      { env: { PATH: process.env["PATH"] ?? "", ...env } },
      (error, stdout, stderr) => resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr })
    )
  })

const secret = "a secret of at least thirty-two bytes"

describe("invoice token", () => {
  it("says what is wrong with what it is asked for", async () => {
    for (const [args, env, words] of [
      [["--expires", "soon"], { JWT_SECRET: secret }, "--expires soon: expected a number"],
      [["--scope", "admin"], { JWT_SECRET: secret }, "--scope admin: expected some of invoices:read"],
      [[], {}, "say --keys DIRECTORY, or set JWT_SECRET or JWT_PRIVATE_KEY"],
      [[], { JWT_PRIVATE_KEY: "nonsense" }, "JWT_PRIVATE_KEY: it is not a private key in PEM"]
    ] as const) {
      const { code, stderr, stdout } = await invoice(["token", ...args], env)
      assert.deepStrictEqual([code, stdout], [1, ""], stderr)
      assert.include(stderr, words)
      assert.notMatch(stderr, /^\s+at /mu)
    }
  })
})

describe("a program with half of its authentication", () => {
  it.each([
    ["up", { AUTH: "jwt" }, "AUTH=jwt needs keys"],
    ["api", { DATABASE_URL: "postgres://localhost/x", JWT_SECRET_FILE: "nowhere" }, "JWT_SECRET_FILE: ENOENT"]
  ] as const)("%s with %o doesn't start, and says: %s", async (program, env, words) => {
    const { code, stderr } = await invoice([program], env)
    assert.strictEqual(code, 1, stderr)
    assert.include(stderr, words)
    assert.notMatch(stderr, /^\s+at /mu)
  })
})

describe("invoice up with tokens", () => {
  let directory: Awaited<ReturnType<typeof dataDir>>
  let running: Running
  let token: string
  let api: string

  beforeAll(async () => {
    directory = await dataDir()
    const keys = join(directory.path, "keys")
    token = (await invoice(["token", "--keys", keys, "--subject", "alice"])).stdout.trim()
    assert.strictEqual((await stat(join(keys, "private.pem"))).mode & 0o777, 0o600)
    running = await start("up", {
      DATA_DIR: join(directory.path, "data"),
      JWT_PUBLIC_KEY_FILE: join(keys, "public.pem"),
      // beyond this machine, and not AUTH=off
      HTTP_ADDRESS: "0.0.0.0:0",
      QUOTA_PER_DAY: "1000"
    })
    api = running.url("api").replace("0.0.0.0", "127.0.0.1")
  })

  afterAll(async () => {
    await running?.stop()
    await directory?.remove()
  })

  it("listens beyond loopback, serves who has a token, and counts who has none", async () => {
    const document = Generators.document()
    const body = JSON.stringify({ invoice: document })
    const headers = { "content-type": "application/json" }
    assert.strictEqual((await post(`${api}/api/invoice/create`, body, headers)).status, 401)
    const authorized = { ...headers, authorization: `Bearer ${token}` }
    assert.strictEqual((await post(`${api}/api/invoice/create`, body, authorized)).status, 200)
    const history = await post(
      `${api}/invoice.v1.InvoiceService/History`,
      JSON.stringify({ id: document["id"] }),
      authorized
    )
    assert.include(history.text, '"by":"alice"')
    const metrics = await (await fetch(`${running.url("metrics")}/metrics`)).text()
    assert.match(metrics, /^auth_refused_total\{reason="missing"\} 1$/mu)
    assert.include(running.output(), "every request needs a token")
    assert.include(running.output(), "tokens arrive unencrypted on HTTP_ADDRESS")
    assert.notInclude(running.output(), token)
  })
})
