/** How much a principal gets. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as RemoteAddress from "@invoice/runtime-node/auth/RemoteAddress"
import { TokenBuckets } from "@invoice/runtime-node/auth/TokenBuckets"
import { TokenCache } from "@invoice/runtime-node/auth/TokenCache"
import { Effect } from "effect"
import * as Ports from "./Ports.ts"
import * as Protocols from "./Protocols.ts"
import * as Tokens from "./Tokens.ts"

describe("a token bucket", () => {
  const make = (options: Partial<ConstructorParameters<typeof TokenBuckets>[0]> = {}) => {
    const clock = { now: 0 }
    return { clock, buckets: new TokenBuckets({ perSecond: 10, burst: 3, now: () => clock.now, ...options }) }
  }

  it("gives its burst at once, says when the next one comes, and fills again up to the burst", () => {
    const { buckets, clock } = make()
    assert.deepStrictEqual([buckets.take("a"), buckets.take("a"), buckets.take("a"), buckets.take("a")], [0, 0, 0, 100])
    clock.now = 50
    assert.strictEqual(buckets.take("a"), 50)
    clock.now = 100
    assert.strictEqual(buckets.take("a"), 0)
    clock.now = 10_000
    assert.deepStrictEqual([buckets.take("a"), buckets.take("a"), buckets.take("a"), buckets.take("a")], [0, 0, 0, 100])
  })

  it("can be charged beyond what it has, and gives nothing until it has made up for it", () => {
    const { buckets, clock } = make({ burst: 1 })
    assert.deepStrictEqual([buckets.charge("a"), buckets.charge("a"), buckets.charge("a")], [0, 100, 200])
    assert.strictEqual(buckets.take("a"), 300)
    clock.now = 300
    assert.deepStrictEqual([buckets.take("a"), buckets.take("a")], [0, 100])
  })

  it("is one for each name", () => {
    const { buckets } = make({ burst: 1 })
    assert.deepStrictEqual([buckets.take("a"), buckets.take("b"), buckets.take("a")], [0, 0, 100])
  })

  it("forgets the names that asked longest ago, so that any number of names needs bounded memory", () => {
    const { buckets } = make({ burst: 1, size: 2 })
    for (let name = 0; name < 10_000; name++) buckets.take(String(name))
    assert.strictEqual(buckets.names, 2)
    assert.isAbove(buckets.take("9999"), 0)
  })
})

describe("the cache of tokens", () => {
  const identity = (expiresAt: number) => ({ name: "alice", scopes: 1, expiresAt })

  it("knows a token until it expires, and no more tokens than it may", () => {
    const clock = { now: 0 }
    const cache = new TokenCache({ size: 2, now: () => clock.now })
    cache.set("a", identity(10))
    cache.set("b", identity(20))
    assert.isDefined(cache.get("a"))
    cache.set("c", identity(20))
    assert.deepStrictEqual([cache.get("a")?.expiresAt, cache.get("b"), cache.get("c")?.expiresAt], [10, undefined, 20])
    clock.now = 10
    assert.isUndefined(cache.get("a"))
  })
})

describe("a remote address", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"]
  ])("%s counts as %s", (address, name) => {
    assert.strictEqual(RemoteAddress.nameOf(address), name)
  })
})

const key = Tokens.pair("key")

const target = (env: Readonly<Record<string, string>>) =>
  Ports.withMemory(
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "invoice-rate-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true }))
      )
      const path = join(directory, "public.pem")
      yield* Effect.promise(() => writeFile(path, Tokens.publicPem(key)))
      const keys = env["AUTH"] === "loopback" ? {} : { JWT_PUBLIC_KEY_FILE: path }
      const { api = "", grpc = "" } = yield* Ports.api({ ...keys, ...env })
      return { api, grpc, rest: "/api/invoice/get", rpc: "/invoice.v1.InvoiceService/Get" }
    })
  )

const bearer = (token: string): Protocols.Headers => ["authorization", `Bearer ${token}`]

describe("the api", () => {
  it.live(
    "refuses a principal whose quota of the day is used up on each protocol, says when to come back, and serves the others",
    () =>
      Effect.gen(function* () {
        const reached = yield* target({ QUOTA_PER_DAY: "1" })
        for (const protocol of Protocols.protocols) {
          const ask = (sub: string, scope = "invoices:read") =>
            Effect.promise(async () => Protocols.ask(protocol, reached, bearer(await Tokens.sign(key, { sub, scope }))))
          assert.notStrictEqual((yield* ask(protocol)).status, 429)
          const limited = yield* ask(protocol)
          assert.strictEqual(limited.status, 429, `${protocol}: ${limited.all}`)
          assert.match(limited.retryAfter, /^86[34]\d\d$/u)
          assert.notStrictEqual((yield* ask(`another than ${protocol}`)).status, 429)
          // our own programs act for many
          for (let again = 0; again < 3; again++) assert.notStrictEqual((yield* ask("relay", "internal")).status, 429)
        }
      }).pipe(Effect.scoped)
  )

  it.live("refuses a principal beyond its rate, and says when the next request may come", () =>
    Effect.gen(function* () {
      const reached = yield* target({ RATE_LIMIT_PER_SECOND: "1", RATE_LIMIT_BURST: "3" })
      const token = yield* Effect.promise(() => Tokens.sign(key))
      const answers = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 30 }, () => Protocols.ask("REST", reached, bearer(token))))
      )
      assert.isAtLeast(answers.filter(({ status }) => status === 400).length, 3)
      const limited = answers.filter(({ status }) => status === 429)
      assert.isAbove(limited.length, 0)
      assert.deepStrictEqual([...new Set(limited.map(({ retryAfter }) => retryAfter))], ["1"])
    }).pipe(Effect.scoped)
  )

  it.live("without authentication limits each address, and never health", () =>
    Effect.gen(function* () {
      const reached = yield* target({ AUTH: "loopback", QUOTA_PER_DAY: "2" })
      const statuses = yield* Effect.forEach(["REST", "Connect", "gRPC"] as const, (protocol) =>
        Effect.promise(() => Protocols.ask(protocol, reached, []).then(({ status }) => status))
      )
      assert.strictEqual(statuses[2], 429)
      const health = yield* Effect.promise(() => fetch(`${reached.api}/healthz`))
      assert.strictEqual(health.status, 200)
    }).pipe(Effect.scoped)
  )
})
