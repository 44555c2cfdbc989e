import { assert, describe, it } from "@effect/vitest"
import { Admission } from "@invoice/adapters/connect"
import { Memory } from "@invoice/adapters/memory"
import {
  InvoiceStore,
  Invoices,
  Outbox,
  Profile,
  ProfileValidator,
  StoreUnavailable,
  type Violation
} from "@invoice/core"
import * as Listener from "@invoice/runtime-node/http/Listener"
import * as Operations from "@invoice/runtime-node/http/Operations"
import * as ReferenceApi from "@invoice/runtime-node/http/ReferenceApi"
import * as Server from "@invoice/runtime-node/http/Router"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Logger, References } from "effect"
import { create, get, post } from "./Process.ts"

const listen = (routes: Server.Routes, options: Partial<Server.Options> = {}) =>
  Effect.flatMap(Server.handler(routes, { inFlight: Admission.make(100, "in_flight"), ...options }), (handler) =>
    Listener.listen(handler, {
      address: { host: "127.0.0.1", port: 0 },
      speaks: "http1",
      idleMillis: 5_000,
      stopMillis: 1_000
    })
  )

const storeThat = (fails: Effect.Effect<never, StoreUnavailable>) =>
  Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) => ({ ...store, create: () => fails, get: () => fails, ready: fails }))
  ).pipe(Layer.provide(Memory.layer))

const api = (store: Layer.Layer<InvoiceStore> = Memory.layer) =>
  ReferenceApi.routes.pipe(
    Effect.provide(Layer.provide(Invoices.layer, [store, ProfileValidator.layer(Profile.core)])),
    Effect.flatMap(listen)
  )

const secret = new Error("password=hunter2 at /var/lib")

describe("the REST edge", () => {
  it.live("says 503 and when to come back while the store is away", () =>
    Effect.gen(function* () {
      const url = yield* api(storeThat(Effect.fail(new StoreUnavailable({ kind: "unavailable", cause: secret }))))
      const response = yield* Effect.promise(() =>
        fetch(`${url}/api/invoice/create`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ invoice: Generators.document() })
        })
      )
      const text = yield* Effect.promise(() => response.text())
      assert.strictEqual(response.status, 503)
      assert.strictEqual(response.headers.get("retry-after"), "1")
      assert.notInclude(text, "hunter2")
    })
  )

  it.live("answers HEAD where it answers GET, without a body, and nowhere else", () =>
    Effect.gen(function* () {
      const ask = (url: string, method: string) =>
        Effect.promise(async () => {
          const response = await fetch(url, { method })
          return [response.status, response.headers.get("allow"), await response.text()] as const
        })
      const operations = yield* Effect.flatMap(Operations.routes({}), listen)
      for (const path of ["healthz", "readyz", "metrics"]) {
        assert.deepStrictEqual(yield* ask(`${operations}/${path}`, "HEAD"), [200, null, ""])
        assert.deepStrictEqual((yield* ask(`${operations}/${path}`, "DELETE")).slice(0, 2), [405, "GET, HEAD"])
      }
      assert.deepStrictEqual(yield* ask(`${yield* api()}/api/invoice/get`, "HEAD"), [405, "POST", ""])
    })
  )

  it.live("says 500 for a defect with an id that is in the log too, and nothing else", () => {
    const logged: Array<string> = []
    const logger = Logger.make((options) => logged.push(Logger.formatJson.log(options)))
    return Effect.gen(function* () {
      const failures = [
        Effect.fail(new StoreUnavailable({ kind: "permanent", cause: secret })),
        Effect.die(secret),
        Effect.sync((): never => {
          throw secret
        })
      ]
      for (const failure of failures) {
        const url = yield* api(storeThat(failure))
        const answer = yield* Effect.promise(() => get(url, crypto.randomUUID()))
        assert.strictEqual(answer.status, 500)
        const { instance, ...rest } = JSON.parse(answer.text)
        assert.deepStrictEqual(rest, {
          type: "/problems/internal-error",
          status: 500,
          title: "Internal Server Error",
          detail: "something went wrong on our side"
        })
        assert.match(instance, /^urn:uuid:[0-9a-f-]{36}$/u)
        assert.isTrue(
          logged.some((line) => line.includes(instance.slice("urn:uuid:".length)) && line.includes("hunter2"))
        )
      }
    }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "Info"))
  })

  it.live("says 503 to requests beyond the limit, and serves again when there is room", () =>
    Effect.gen(function* () {
      let release = (): void => undefined
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      let entered = (): void => undefined
      const inHand = new Promise<void>((resolve) => {
        entered = resolve
      })
      const health = Operations.healthRoutes({})["/healthz"]
      const url = yield* listen(
        {
          "/healthz": health ?? {},
          "/other": health ?? {},
          "/slow": {
            GET: (request) =>
              Effect.flatMap(
                Effect.promise(() => {
                  entered()
                  return gate
                }),
                () => health?.["GET"]?.(request) ?? Effect.die("no route")
              )
          }
        },
        { inFlight: Admission.make(1, "in_flight"), unlimited: new Set(["/healthz"]) }
      )
      const slow = fetch(`${url}/slow`)
      yield* Effect.promise(() => inHand)
      const refused = yield* Effect.promise(() => fetch(`${url}/other`))
      assert.strictEqual(refused.status, 503)
      assert.strictEqual(refused.headers.get("retry-after"), "1")
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/healthz`))).status, 200, "health is never refused")
      release()
      assert.strictEqual((yield* Effect.promise(() => slow)).status, 200)
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/other`))).status, 200)
    })
  )

  it.live("is not ready while something is missing, and says what", () =>
    Effect.gen(function* () {
      const url = yield* listen(
        Operations.healthRoutes({ store: Effect.void, broker: Effect.fail({ message: "no broker answers" }) })
      )
      const response = yield* Effect.promise(() => fetch(`${url}/readyz`))
      const problem = JSON.parse(yield* Effect.promise(() => response.text()))
      assert.strictEqual(response.status, 503)
      assert.strictEqual(problem.detail, "broker: no broker answers")
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/healthz`))).status, 200)
    })
  )

  it.live("labels metrics with routes, so that clients can't make new ones", () =>
    Effect.gen(function* () {
      const url = yield* listen(yield* Operations.routes({}))
      yield* Effect.promise(() => fetch(`${url}/made-up-by-a-client?x=1`))
      const page = yield* Effect.promise(() => fetch(`${url}/metrics`).then((response) => response.text()))
      assert.match(page, /^http_requests_total\{.*path="unmatched".*\} \d+$/mu)
      assert.notInclude(page, "made-up-by-a-client")
    })
  )

  it.live("reads a JSON integer for an integral quantity, and a string for what a double can't hold", () =>
    Effect.gen(function* () {
      const url = yield* api()
      const document = Generators.document({
        amount: "0",
        items: ["3.0", "999999999999999", "9999999999999999", "0.5"].map((quantity) => ({
          description: "x",
          quantity,
          unit_price: "0",
          total: "0"
        }))
      })
      const answer = yield* Effect.promise(() => create(url, document))
      assert.strictEqual(answer.status, 200, answer.text)
      const quantities = JSON.parse(answer.text).invoice.items.map((item: { quantity: unknown }) => item.quantity)
      assert.deepStrictEqual(quantities, [3, 999999999999999, "9999999999999999", "0.5"])
    })
  )

  it.live("takes a body without a content type", () =>
    Effect.gen(function* () {
      const url = yield* api()
      const body = new TextEncoder().encode(JSON.stringify({ invoice: Generators.document() }))
      assert.strictEqual((yield* Effect.promise(() => post(`${url}/api/invoice/create`, body, {}))).status, 200)
    })
  )

  it.live("refuses unknown fields of the request and of what is in it, together with all other faults", () =>
    Effect.gen(function* () {
      const url = yield* api()
      const faults = (path: string, document: unknown) =>
        Effect.promise(async () => {
          const { status, text } = await post(`${url}/api/invoice/${path}`, JSON.stringify(document))
          const violations: ReadonlyArray<Violation.Violation> = JSON.parse(text).violations ?? []
          return [status, ...violations.map(({ code, message, path }) => `${code} ${path} ${message}`)]
        })
      const invoice = Generators.document()
      assert.deepStrictEqual(yield* faults("create", { invoice: { ...invoice, custmer_id: "x" }, dry_run: true }), [
        400,
        "INV-FIELD /invoice/custmer_id unknown field, did you mean customer_id?",
        "INV-FIELD /dry_run unknown field"
      ])
      assert.deepStrictEqual(yield* faults("create", { invioce: invoice }), [
        400,
        "INV-TYPE /invoice must be an object",
        "INV-FIELD /invioce unknown field, did you mean invoice?"
      ])
      assert.deepStrictEqual(yield* faults("create", { invoice, Invoice: invoice }), [
        400,
        "INV-FIELD /Invoice unknown field, did you mean invoice?"
      ])
      assert.deepStrictEqual(yield* faults("get", { id: "5", ID: "5" }), [
        400,
        "INV-UUID /id is not a UUID",
        "INV-FIELD /ID unknown field, did you mean id?"
      ])
      assert.deepStrictEqual(yield* faults("get", { id: invoice["id"], fields: [] }), [
        400,
        "INV-FIELD /fields unknown field"
      ])
      assert.deepStrictEqual(yield* faults("get", { id: invoice["id"] }), [404])
      assert.deepStrictEqual(yield* faults("create", { invoice }), [200])
    })
  )

  it.live("carries a client's trace on to the event, and ignores one that is malformed", () =>
    Effect.gen(function* () {
      const url = yield* ReferenceApi.routes.pipe(Effect.provide(Invoices.layer), Effect.flatMap(listen))
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      for (const sent of [traceparent, "00-not-a-trace"]) {
        const body = JSON.stringify({ invoice: Generators.document() })
        const headers = { "content-type": "application/json", traceparent: sent }
        yield* Effect.promise(() => post(`${url}/api/invoice/create`, body, headers))
      }
      const outbox = yield* Outbox
      const lease = yield* Effect.flatMap(
        outbox.acquire({ lane: 0, owner: "test", ttlMillis: 1_000 }),
        Effect.fromOption
      )
      const { events } = yield* outbox.read({ lease, position: lease.position, limit: 10 })
      assert.deepStrictEqual(
        events.map(({ traceparent }) => traceparent),
        [traceparent, undefined]
      )
    }).pipe(Effect.provide(Layer.merge(Memory.layer, ProfileValidator.layer(Profile.core))))
  )
})
