/** Who gets in, on every protocol. */

import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ports from "./Ports.ts"
import { post } from "./Process.ts"
import * as Protocols from "./Protocols.ts"
import * as Tokens from "./Tokens.ts"

const key = Tokens.pair("current")
const foreign = Tokens.pair("current")

const bearer = (token: string): Protocols.Headers => ["authorization", `Bearer ${token}`]

/** A file with the text, while the scope lasts. */
const file = (text: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "invoice-auth-"))),
      (directory) => Effect.promise(() => rm(directory, { recursive: true }))
    ).pipe(Effect.tap((directory) => Effect.promise(() => writeFile(join(directory, "file"), text)))),
    (directory) => join(directory, "file")
  )

const get: Omit<Protocols.Target, "api" | "grpc"> = {
  rest: "/api/invoice/get",
  rpc: "/invoice.v1.InvoiceService/Get"
}

/** The api that accepts tokens of `key`. */
const api = (env: Readonly<Record<string, string>> = {}) =>
  Ports.withMemory(
    Effect.gen(function* () {
      const path = yield* file(Tokens.publicPem(key))
      const { api = "", grpc = "" } = yield* Ports.api({ JWT_PUBLIC_KEY_FILE: path, JWT_ISSUER: Tokens.issuer, ...env })
      return { ...get, api, grpc }
    })
  )

/** The storage program speaks every protocol on one port, and has no REST. */
const storage = (env: Readonly<Record<string, string>> = {}) =>
  Ports.withMemory(
    Effect.gen(function* () {
      const path = yield* file(Tokens.publicPem(key))
      const url = yield* Ports.storage({ JWT_PUBLIC_KEY_FILE: path, JWT_ISSUER: Tokens.issuer, ...env })
      return { api: url, grpc: url, rest: "/anything", rpc: "/invoice.v1.InvoiceStoreService/Head" }
    })
  )

/** Nothing of ours is in a refusal: no invoice, no stack, no path, no key, no part of a token. */
const assertBare = ({ all }: Protocols.Refused): void => {
  assert.notMatch(all, /\bat .+:\d+|\.ts\b|node_modules|customer_id|-----BEGIN|eyJ/u)
  assert.isBelow(all.length, 1_200)
}

const bad: Readonly<Record<string, () => Promise<Protocols.Headers>>> = {
  "no token": async () => [],
  "an expired token": async () => bearer(await Tokens.sign(key, { exp: Tokens.inSeconds(-31) })),
  "a token that is not valid yet": async () => bearer(await Tokens.sign(key, { nbf: Tokens.inSeconds(90) })),
  "a token that never expires": async () => bearer(await Tokens.sign(key, { exp: undefined })),
  "a token of another issuer": async () => bearer(await Tokens.sign(key, { iss: "https://evil.example" })),
  "a token without an issuer": async () => bearer(await Tokens.sign(key, { iss: undefined })),
  "a token for another audience": async () => bearer(await Tokens.sign(key, { aud: ["other", "invoices"] })),
  "a token for no audience": async () => bearer(await Tokens.sign(key, { aud: undefined })),
  "a token without a subject": async () => bearer(await Tokens.sign(key, { sub: undefined })),
  "a token whose subject has control characters": async () => bearer(await Tokens.sign(key, { sub: "alice\nbob" })),
  "a token whose subject has 256 characters": async () => bearer(await Tokens.sign(key, { sub: "a".repeat(256) })),
  "an unsecured token (none)": async () => bearer(Tokens.unsecured()),
  "HS256 with the public key as the secret": async () => bearer(await Tokens.signedWithPublicKey(key)),
  "a token of another key with the same id": async () => bearer(await Tokens.sign(foreign)),
  "a token with a critical header that is unknown": async () =>
    bearer(
      (await Tokens.sign(key)).replace(
        /^[^.]+/u,
        Buffer.from('{"alg":"ES256","crit":["x"],"x":1}').toString("base64url")
      )
    ),
  "a token with another payload": async () => {
    const [header, , signature] = (await Tokens.sign(key)).split(".")
    const [, payload] = (await Tokens.sign(key, { scope: "internal" })).split(".")
    return bearer(`${header}.${payload}.${signature}`)
  },
  "a token of more than 8 kB": async () => bearer(await Tokens.sign(key, { padding: "x".repeat(8_192) })),
  "two headers": async () => [...bearer(await Tokens.sign(key)), ...bearer(await Tokens.sign(key))],
  "another scheme": async () => ["authorization", "Basic YWxpY2U6c2VjcmV0"],
  "a scheme without a token": async () => ["authorization", "Bearer"],
  garbage: async () => bearer("a.b.c"),
  "more garbage": async () => ["authorization", "Bearer \u00ff\u00fe, ;="]
}

const servers: Readonly<Record<string, (env?: Readonly<Record<string, string>>) => ReturnType<typeof api>>> = {
  api,
  storage
}

describe.each(Object.entries(servers))("the %s", (_, serve) => {
  it.live("refuses every bad token with 401 and a challenge, on each protocol, and says nothing more", () =>
    Effect.gen(function* () {
      const target = yield* serve()
      for (const [what, headers] of Object.entries(bad)) {
        const sent = yield* Effect.promise(headers)
        const answers = yield* Effect.promise(() =>
          Promise.all(Protocols.protocols.map((protocol) => Protocols.ask(protocol, target, sent)))
        )
        for (const [index, answer] of answers.entries()) {
          const protocol = Protocols.protocols[index]
          assert.strictEqual(answer.status, 401, `${what} over ${protocol}: ${answer.all}`)
          assert.match(answer.challenge, /^Bearer realm="invoice"/u, `${what} over ${protocol}`)
          assert.strictEqual(answer.challenge.includes("error="), what !== "no token", `${what} over ${protocol}`)
          assertBare(answer)
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("refuses a token without the scope with 403 and names the scope", () =>
    Effect.gen(function* () {
      const target = yield* serve()
      const sent = bearer(yield* Effect.promise(() => Tokens.sign(key, { scope: "outbox:admin openid" })))
      for (const protocol of Protocols.protocols) {
        if (protocol === "REST" && target.rest === "/anything") continue
        const answer = yield* Effect.promise(() => Protocols.ask(protocol, target, sent))
        assert.strictEqual(answer.status, 403, `${protocol}: ${answer.all}`)
        assert.match(answer.challenge, /error="insufficient_scope".*scope="(invoices:read|internal)"/u)
        assertBare(answer)
      }
    }).pipe(Effect.scoped)
  )

  it.live("handles nothing at a path that the table of scopes doesn't have", () =>
    Effect.gen(function* () {
      const target = yield* serve()
      const sent = bearer(yield* Effect.promise(() => Tokens.sign(key, { scope: "" })))
      for (const path of [
        "/invoice.v1.InvoiceService/create",
        "//invoice.v1.InvoiceService/Create",
        "/invoice.v1.InvoiceService/%43reate",
        "/healthz/../api/invoice/get",
        "/api/invoice/get/",
        "/API/invoice/get",
        "/v1/nothing"
      ]) {
        for (const protocol of Protocols.protocols) {
          const elsewhere = { ...target, rest: path, rpc: path }
          const without = yield* Effect.promise(() => Protocols.ask(protocol, elsewhere, []))
          const answer = yield* Effect.promise(() => Protocols.ask(protocol, elsewhere, sent))
          assert.deepStrictEqual([without.status, answer.status], [401, 404], `${path} over ${protocol}`)
        }
      }
    }).pipe(Effect.scoped)
  )
})

describe("the api", () => {
  it.live("serves a token with the scope, whatever the case of its scheme and up to 8 kB", () =>
    Effect.gen(function* () {
      const target = yield* api()
      const token = yield* Effect.promise(() => Tokens.sign(key))
      const long = yield* Effect.promise(() => Tokens.sign(key, { padding: "x".repeat(5_800) }))
      assert.isAbove(long.length, 7_900)
      for (const header of [`bearer ${token}`, `BEARER ${token}`, `Bearer ${long}`]) {
        for (const protocol of Protocols.protocols) {
          const answer = yield* Effect.promise(() => Protocols.ask(protocol, target, ["authorization", header]))
          // none of these requests names an invoice, so those that get in are told so
          assert.notInclude([401, 403], answer.status, `${protocol}: ${answer.all}`)
          assert.strictEqual(answer.challenge, "")
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("reads scopes from scp too, as a text or a list, and the subject from the client's id", () =>
    Effect.gen(function* () {
      const target = yield* api()
      for (const changes of [
        { scope: undefined, scp: "openid invoices:read" },
        { scope: undefined, scp: ["openid", "invoices:read"] },
        { sub: undefined, client_id: "batch" },
        { sub: undefined, azp: "batch" },
        { aud: ["other", "invoice"] },
        { exp: Tokens.inSeconds(-20) },
        { nbf: Tokens.inSeconds(20) }
      ]) {
        const sent = bearer(yield* Effect.promise(() => Tokens.sign(key, changes)))
        const answer = yield* Effect.promise(() => Protocols.ask("REST", target, sent))
        assert.strictEqual(answer.status, 400, `${JSON.stringify(changes)}: ${answer.all}`)
      }
    }).pipe(Effect.scoped)
  )

  it.live("needs invoices:write to create and invoices:read to get, and either to validate", () =>
    Effect.gen(function* () {
      const target = yield* api()
      const allowed = (scope: string, path: string) =>
        Effect.promise(async () => {
          const headers = {
            "content-type": "application/json",
            authorization: `Bearer ${await Tokens.sign(key, { scope })}`
          }
          return (await post(`${target.api}${path}`, "{}", headers)).status !== 403
        })
      const service = "/invoice.v1.InvoiceService"
      for (const [path, read, write] of [
        ["/api/invoice/create", false, true],
        ["/api/invoice/get", true, false],
        [`${service}/Create`, false, true],
        [`${service}/Import`, false, true],
        [`${service}/Get`, true, false],
        [`${service}/List`, true, false],
        [`${service}/History`, true, false],
        [`${service}/Watch`, true, false],
        [`${service}/Validate`, true, true]
      ] as const) {
        assert.strictEqual(yield* allowed("invoices:read", path), read, `${path} with invoices:read`)
        assert.strictEqual(yield* allowed("invoices:write", path), write, `${path} with invoices:write`)
        assert.isTrue(yield* allowed("internal", path), `${path} with internal`)
        assert.isFalse(yield* allowed("outbox:admin", path), `${path} with outbox:admin`)
      }
    }).pipe(Effect.scoped)
  )

  it.live("answers health without a token, and nothing else", () =>
    Effect.gen(function* () {
      const target = yield* api()
      const status = (path: string, init?: RequestInit) =>
        Effect.promise(async () => (await fetch(`${target.api}${path}`, init)).status)
      assert.strictEqual(yield* status("/healthz"), 200)
      assert.strictEqual(yield* status("/readyz", { method: "HEAD" }), 200)
      assert.strictEqual(yield* status("/healthz", { method: "DELETE" }), 401)
      const check = yield* Effect.promise(() => post(`${target.api}/grpc.health.v1.Health/Check`, "{}"))
      assert.strictEqual(check.status, 200)
      for (const path of ["/", "/metrics", "/v1/invoices", "/v1/events", "/grpc.health.v1.Health/Watch"]) {
        assert.strictEqual(yield* status(path), 401, path)
      }
    }).pipe(Effect.scoped)
  )

  it.live("answers the preflight request of an allowed origin without a token, and shows it the challenge", () =>
    Effect.gen(function* () {
      const origin = "https://app.example.com"
      const target = yield* api({ ALLOWED_ORIGINS: origin })
      const headers = { origin, "access-control-request-method": "POST" }
      const url = `${target.api}/api/invoice/get`
      assert.strictEqual((yield* Effect.promise(() => fetch(url, { method: "OPTIONS", headers }))).status, 204)
      const answer = yield* Effect.promise(() => fetch(url, { method: "POST", headers: { origin } }))
      assert.strictEqual(answer.status, 401)
      assert.include(answer.headers.get("access-control-expose-headers") ?? "", "WWW-Authenticate")
    }).pipe(Effect.scoped)
  )
})

describe("a shared secret", () => {
  const secret = "0123456789abcdef0123456789abcdef"

  it.live("signs tokens with HS256, and its holders only", () =>
    Ports.withMemory(
      Effect.gen(function* () {
        const { api = "" } = yield* Ports.api({ JWT_SECRET: secret })
        const answer = (token: string) =>
          Effect.promise(() => Protocols.ask("REST", { ...get, api, grpc: "" }, bearer(token)))
        assert.strictEqual((yield* answer(yield* Effect.promise(() => Tokens.signHs(secret)))).status, 400)
        assert.strictEqual((yield* answer(yield* Effect.promise(() => Tokens.signHs(`${secret}!`)))).status, 401)
        assert.strictEqual((yield* answer(yield* Effect.promise(() => Tokens.sign(key)))).status, 401)
      })
    ).pipe(Effect.scoped)
  )
})
