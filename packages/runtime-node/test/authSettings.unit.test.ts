/** Settings with which nobody could tell whether authentication is on. */
import { assert, describe, it } from "@effect/vitest"
import * as Auth from "@invoice/runtime-node/auth/Auth"
import * as StorageToken from "@invoice/runtime-node/auth/StorageToken"
import * as StartupError from "@invoice/runtime-node/programs/StartupError"
import { Effect } from "effect"
import * as Ports from "./Ports.ts"

const secret = "a secret of at least thirty-two bytes"

const started = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const settings = yield* Ports.settings(env)
    yield* StartupError.check(settings)
    yield* Auth.check(settings)
    yield* StorageToken.load(settings)
    return settings.auth
  })

describe("a program", () => {
  it.effect.each([
    [{ AUTH: "jwt" }, "AUTH=jwt needs keys"],
    [{ JWT_ISSUER: "https://issuer.example" }, "JWT_ISSUER needs keys"],
    [{ JWT_CLOCK_SKEW_SECONDS: "10" }, "JWT_CLOCK_SKEW_SECONDS needs keys"],
    [{ AUTH: "off", JWT_SECRET: secret }, "AUTH=off authenticates nobody, and JWT_SECRET is set"],
    [{ AUTH: "loopback", JWT_AUDIENCE: "x" }, "AUTH=loopback authenticates nobody, and JWT_AUDIENCE is set"],
    [{ JWT_JWKS_URL: "https://issuer.example/jwks" }, "JWT_JWKS_URL needs JWT_ISSUER"],
    [{ JWT_JWKS_URL: "http://issuer.example/jwks", JWT_ISSUER: "x" }, "Expected an https:// URL"],
    [{ JWT_SECRET: secret, JWT_SECRET_FILE: "x" }, "JWT_SECRET and JWT_SECRET_FILE are both set"],
    [{ JWT_SECRET: secret, JWT_ALGORITHMS: "none" }, "Expected some of"],
    [{ JWT_SECRET: secret, JWT_ALGORITHMS: "ES256" }, "JWT_ALGORITHMS: there is no key for ES256"],
    [{ JWT_SECRET: secret, JWT_ALGORITHMS: "HS512" }, "there is no key for HS512, or it is too short"],
    [{ JWT_SECRET: "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI" }, "JWT_SECRET: it is a key in PEM"],
    [{ JWT_SECRET_FILE: "nowhere" }, "JWT_SECRET_FILE: ENOENT"],
    [{ JWT_PUBLIC_KEY_FILE: "nowhere" }, "JWT_PUBLIC_KEY_FILE: ENOENT"],
    [
      { JWT_PUBLIC_KEY_FILE: "packages/runtime-node/test/authSettings.unit.test.ts" },
      "JWT_PUBLIC_KEY_FILE: it has neither a key"
    ],
    [{ RATE_LIMIT_BURST: "10" }, "RATE_LIMIT_BURST is nothing without RATE_LIMIT_PER_SECOND"],
    [{ STORAGE_ADDRESS: "x:1", STORAGE_TOKEN: "a", STORAGE_TOKEN_FILE: "b" }, "STORAGE_TOKEN_FILE are both set"],
    [{ STORAGE_ADDRESS: "x:1", STORAGE_TOKEN_FILE: "nowhere" }, "STORAGE_TOKEN_FILE: ENOENT"]
  ] as const)("with %o doesn't start, and says: %s", ([env, words]) =>
    Effect.gen(function* () {
      const message = String(yield* Effect.flip(started(env)))
      assert.include(message, words)
      assert.notInclude(message, secret)
    })
  )

  it.effect("checks tokens as soon as there are keys, and then may listen beyond this machine", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* started({}), "loopback")
      assert.strictEqual(yield* started({ JWT_SECRET: secret, HTTP_ADDRESS: ":0", METRICS_ADDRESS: ":0" }), "jwt")
      assert.strictEqual(yield* started({ AUTH: "off", HTTP_ADDRESS: ":0" }), "off")
      assert.include(String(yield* Effect.flip(started({ HTTP_ADDRESS: ":0" }))), "nobody is authenticated")
      // the key with which tokens are signed lets nobody in
      assert.strictEqual(yield* started({ JWT_PRIVATE_KEY: "a key" }), "loopback")
    })
  )
})
