/** The keys of an identity provider, which change, and which may be away. */
import { assert, describe, it } from "@effect/vitest"
import * as JwksEndpoint from "@invoice/runtime-node/auth/JwksEndpoint"
import { Effect } from "effect"
import { errors } from "jose"
import * as Ports from "./Ports.ts"
import * as Protocols from "./Protocols.ts"
import * as Tokens from "./Tokens.ts"

const [first, second, third] = [Tokens.pair("first"), Tokens.pair("second"), Tokens.pair("third")]

const header = ({ id }: Tokens.Pair) => ({ alg: "ES256", kid: id })

/** An endpoint of the provider whose clock the test sets. */
const endpointOf = (provider: Tokens.Provider) => {
  const clock = { now: 0 }
  const changes = { count: 0 }
  const endpoint = new JwksEndpoint.JwksEndpoint({
    url: provider.url,
    now: () => clock.now,
    onChange: () => {
      changes.count++
    }
  })
  return { endpoint, clock, changes }
}

const outcome = (endpoint: JwksEndpoint.JwksEndpoint, pair: Tokens.Pair): Effect.Effect<string> =>
  Effect.promise(() =>
    endpoint.find(header(pair)).then(
      () => "found",
      (error: unknown) =>
        error instanceof JwksEndpoint.KeysUnavailable
          ? "unavailable"
          : error instanceof errors.JWKSNoMatchingKey
            ? "unknown"
            : String(error)
    )
  )

describe("the keys of a provider", () => {
  it.live("an unknown key makes us look again, once in half a minute however many ask", () =>
    Effect.gen(function* () {
      const provider = yield* Tokens.provider(first)
      const { clock, endpoint } = endpointOf(provider)
      assert.strictEqual(yield* outcome(endpoint, first), "found")
      provider.serve(first, second)
      assert.strictEqual(yield* outcome(endpoint, second), "unknown")
      assert.strictEqual(provider.asked(), 1)
      clock.now += JwksEndpoint.cooldownMillis
      const found = yield* Effect.all(
        Array.from({ length: 50 }, () => outcome(endpoint, second)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([...new Set(found)], ["found"])
      for (let again = 0; again < 10; again++) assert.strictEqual(yield* outcome(endpoint, third), "unknown")
      assert.strictEqual(provider.asked(), 2)
    }).pipe(Effect.scoped)
  )

  it.live("a key that the provider withdraws is not accepted after the next fetch, and its tokens are forgotten", () =>
    Effect.gen(function* () {
      const provider = yield* Tokens.provider(first)
      const { changes, endpoint } = endpointOf(provider)
      yield* Effect.promise(() => endpoint.refresh())
      assert.strictEqual(changes.count, 1)
      yield* Effect.promise(() => endpoint.refresh())
      assert.strictEqual(changes.count, 1)
      provider.serve(second)
      yield* Effect.promise(() => endpoint.refresh())
      assert.strictEqual(changes.count, 2)
      assert.deepStrictEqual([yield* outcome(endpoint, first), yield* outcome(endpoint, second)], ["unknown", "found"])
    }).pipe(Effect.scoped)
  )

  it.live.each(["500", "garbage", "redirect", "huge"] as const)(
    "known keys are kept for a day when the provider answers %s, and another key is neither good nor bad",
    (how) =>
      Effect.gen(function* () {
        const provider = yield* Tokens.provider(first)
        const { clock, endpoint } = endpointOf(provider)
        yield* Effect.promise(() => endpoint.refresh())
        provider.fail(how)
        clock.now += JwksEndpoint.cooldownMillis
        assert.strictEqual(yield* outcome(endpoint, second), "unavailable")
        assert.isTrue(endpoint.isAway)
        assert.strictEqual(yield* outcome(endpoint, first), "found")
        assert.strictEqual(yield* outcome(endpoint, second), "unavailable")
        assert.strictEqual(provider.asked(), 2)
        clock.now += 86_400_000
        assert.strictEqual(yield* outcome(endpoint, first), "unavailable")
        provider.fail(undefined)
        clock.now += JwksEndpoint.cooldownMillis
        assert.strictEqual(yield* outcome(endpoint, first), "found")
        assert.isFalse(endpoint.isAway)
      }).pipe(Effect.scoped)
  )
})

const target = (jwksUrl: string) =>
  Ports.withMemory(
    Effect.map(Ports.api({ JWT_JWKS_URL: jwksUrl, JWT_ISSUER: Tokens.issuer }), ({ api = "", grpc = "" }) => ({
      api,
      grpc,
      rest: "/api/invoice/get",
      rpc: "/invoice.v1.InvoiceService/Get"
    }))
  )

const bearer = (token: string): Protocols.Headers => ["authorization", `Bearer ${token}`]

describe("the api with a provider", () => {
  it.live("accepts the provider's keys and no other, also while the provider is away", () =>
    Effect.gen(function* () {
      const provider = yield* Tokens.provider(first, second)
      const reached = yield* target(provider.url)
      const status = (pair: Tokens.Pair, kid: string | undefined = pair.id) =>
        Effect.promise(async () =>
          Protocols.ask("REST", reached, bearer(await Tokens.sign(pair, {}, { kid }))).then(({ status }) => status)
        )
      for (const away of [false, true]) {
        if (away) provider.fail("500")
        assert.strictEqual(yield* status(first), 400)
        assert.strictEqual(yield* status(second), 400)
        // the token says nothing about its key, so each is tried
        assert.strictEqual(yield* status(second, ""), 401)
        assert.strictEqual(yield* status(third, first.id), 401)
        assert.strictEqual(yield* status(third), 401)
      }
      assert.strictEqual(provider.asked(), 1)
    }).pipe(Effect.scoped)
  )

  it.live("tries each key when a token doesn't name one", () =>
    Effect.gen(function* () {
      const reached = yield* target((yield* Tokens.provider(first, second)).url)
      const status = (pair: Tokens.Pair) =>
        Effect.promise(async () => {
          const token = await Tokens.signUnnamed(pair)
          return (await Protocols.ask("REST", reached, bearer(token))).status
        })
      assert.deepStrictEqual([yield* status(first), yield* status(second), yield* status(third)], [400, 400, 401])
    }).pipe(Effect.scoped)
  )

  it.live("starts while the provider is away, and answers 503 with Retry-After on each protocol", () =>
    Effect.gen(function* () {
      const provider = yield* Tokens.provider(first)
      provider.fail("500")
      const reached = yield* target(provider.url)
      const token = yield* Effect.promise(() => Tokens.sign(first))
      for (const protocol of Protocols.protocols) {
        const answer = yield* Effect.promise(() => Protocols.ask(protocol, reached, bearer(token)))
        assert.strictEqual(answer.status, 503, `${protocol}: ${answer.all}`)
        assert.strictEqual(answer.retryAfter, "30")
        assert.strictEqual(answer.challenge, "")
      }
      assert.strictEqual(
        (yield* Effect.promise(() => Protocols.ask("REST", reached, bearer(Tokens.unsecured())))).status,
        401
      )
      assert.strictEqual(provider.asked(), 1)
    }).pipe(Effect.scoped)
  )
})
