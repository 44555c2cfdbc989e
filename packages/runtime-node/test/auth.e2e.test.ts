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
      [["--expires", "9999d"], { JWT_SECRET: secret }, "at most 366d"],
      [["--scope", "admin"], { JWT_SECRET: secret }, "--scope admin: expected some of invoices:read"],
      [["--subject", ""], { JWT_SECRET: secret }, "--subject: expected"],
      [[], {}, "say --keys DIRECTORY, or set JWT_SECRET or JWT_PRIVATE_KEY"],
      [[], { JWT_SECRET: "short" }, "JWT_SECRET: it must have at least 32 bytes"],
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
  const refused = async (program: string, env: Readonly<Record<string, string>>): Promise<string> => {
    const { code, stderr } = await invoice([program], env)
    assert.strictEqual(code, 1, stderr)
    assert.notInclude(stderr, secret)
    assert.notMatch(stderr, /^\s+at /mu)
    return stderr
  }

  it.each([
    ["up", { AUTH: "jwt" }, "AUTH=jwt needs keys"],
    ["up", { JWT_ISSUER: "https://issuer.example" }, "JWT_ISSUER needs keys"],
    ["up", { JWT_CLOCK_SKEW_SECONDS: "10" }, "JWT_CLOCK_SKEW_SECONDS needs keys"],
    ["up", { AUTH: "off", JWT_SECRET: secret }, "AUTH=off authenticates nobody, and JWT_SECRET is set"],
    ["up", { AUTH: "loopback", JWT_AUDIENCE: "x" }, "AUTH=loopback authenticates nobody, and JWT_AUDIENCE is set"],
    ["up", { JWT_JWKS_URL: "https://issuer.example/jwks" }, "JWT_JWKS_URL needs JWT_ISSUER"],
    ["up", { JWT_JWKS_URL: "http://issuer.example/jwks", JWT_ISSUER: "x" }, "JWT_JWKS_URL: Expected an https:// URL"],
    ["up", { JWT_SECRET: secret, JWT_SECRET_FILE: "x" }, "JWT_SECRET and JWT_SECRET_FILE are both set"],
    ["up", { JWT_SECRET: secret, JWT_ALGORITHMS: "none" }, "JWT_ALGORITHMS: Expected some of"],
    ["up", { JWT_SECRET: secret, JWT_ALGORITHMS: "ES256" }, "JWT_ALGORITHMS: there is no key for ES256"],
    ["up", { JWT_SECRET: secret, JWT_ALGORITHMS: "HS512" }, "there is no key for HS512, or it is too short"],
    ["up", { JWT_SECRET: "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI" }, "JWT_SECRET: it is a key in PEM"],
    ["up", { JWT_SECRET_FILE: "nowhere" }, "JWT_SECRET_FILE: ENOENT"],
    ["up", { JWT_PUBLIC_KEY_FILE: "nowhere" }, "JWT_PUBLIC_KEY_FILE: ENOENT"],
    ["up", { JWT_PUBLIC_KEY_FILE: "README.md" }, "JWT_PUBLIC_KEY_FILE: it has neither a key"],
    ["up", { RATE_LIMIT_BURST: "10" }, "RATE_LIMIT_BURST is nothing without RATE_LIMIT_PER_SECOND"],
    [
      "relay",
      { STORAGE_ADDRESS: "x:1", STORAGE_TOKEN: "a", STORAGE_TOKEN_FILE: "b" },
      "STORAGE_TOKEN_FILE are both set"
    ],
    ["relay", { STORAGE_ADDRESS: "x:1", STORAGE_TOKEN_FILE: "nowhere" }, "STORAGE_TOKEN_FILE: ENOENT"]
  ] as const)("%s with %o doesn't start, and says: %s", async (program, env, words) => {
    const directory = await dataDir()
    const ports = { HTTP_ADDRESS: "127.0.0.1:0", GRPC_PORT: "0", PROMETHEUS_PORT: "0", DATA_DIR: directory.path }
    try {
      assert.include(await refused(program, { ...ports, ...env }), words)
    } finally {
      await directory.remove()
    }
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
