/** Pages of strangers, as a browser sends their requests. */

import { type IncomingHttpHeaders, request, type ServerResponse } from "node:http"
import { connect as connectHttp2 } from "node:http2"
import { connect } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Listener from "@invoice/runtime-node/http/Listener"
import * as OriginPolicy from "@invoice/runtime-node/http/OriginPolicy"
import { Effect } from "effect"

const loopback: OriginPolicy.OriginPolicy = { hosts: "loopback", origins: [], tls: false }

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** A server behind the policy that answers everything with `reached` by default. */
const serve = (
  policy: OriginPolicy.OriginPolicy,
  speaks: "http1" | "http2" = "http1",
  answer: (response: ServerResponse) => void = (response) => void response.writeHead(200).end("reached")
) =>
  Effect.map(
    Listener.listen(
      OriginPolicy.guard(policy, (_, response) => answer(response)),
      { address: { host: "127.0.0.1", port: 0 }, speaks, idleMillis: 5_000, stopMillis: 100 }
    ),
    (url) => new URL(url)
  )

const send = (url: URL, method: string, headers: Readonly<Record<string, string>>): Promise<Answer> =>
  new Promise((resolve, reject) => {
    request({ port: url.port, host: "127.0.0.1", method, headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
      .on("error", reject)
      .end()
  })

describe("while nobody is authenticated", () => {
  it.live("a page of another origin is refused on every method", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback)
      for (const origin of ["https://evil.example", "null", "http://localhost:3000", `https://${url.host}`]) {
        for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]) {
          const answer = yield* Effect.promise(() => send(url, method, { host: url.host, origin }))
          assert.strictEqual(answer.status, 403, `${method} from ${origin}`)
          assert.notInclude(answer.text, "reached")
          assert.isUndefined(answer.headers["access-control-allow-origin"])
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("a page of the program's own origin and a client that is no browser are served", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback)
      const { port } = url
      for (const headers of [
        { host: url.host },
        { host: url.host, origin: `http://${url.host}` },
        { host: `localhost:${port}`, origin: `http://localhost:${port}` },
        { host: `[::1]:${port}` },
        { host: `LOCALHOST:${port}` },
        { host: "127.1.2.3" }
      ]) {
        const answer = yield* Effect.promise(() => send(url, "POST", headers))
        assert.deepStrictEqual([answer.status, answer.text], [200, "reached"], JSON.stringify(headers))
      }
    }).pipe(Effect.scoped)
  )

  it.live("a host name that is not ours is refused, so DNS rebinding reads nothing", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback)
      for (const host of [
        "evil.example",
        `evil.example:${url.port}`,
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        ""
      ]) {
        const answer = yield* Effect.promise(() => send(url, "GET", { host, origin: `http://${host}` }))
        assert.oneOf(answer.status, [400, 403], host)
        assert.notInclude(answer.text, "reached")
      }
    }).pipe(Effect.scoped)
  )

  it.live("two host headers are a bad request", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback)
      const status = yield* Effect.callback<string>((resume) => {
        const socket = connect(Number(url.port), "127.0.0.1", () => {
          socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        })
        socket.setEncoding("utf8").once("data", (text: string) => resume(Effect.succeed(text.slice(9, 12))))
      })
      assert.strictEqual(status, "400")
    }).pipe(Effect.scoped)
  )

  it.live("the same holds over HTTP/2", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback, "http2")
      const ask = (headers: Readonly<Record<string, string>>) =>
        Effect.callback<number>((resume) => {
          const session = connectHttp2(url.href)
          const stream = session.request({ ":path": "/", ...headers })
          stream.on("response", (answer) => {
            resume(Effect.succeed(Number(answer[":status"])))
            session.destroy()
          })
          stream.end()
        })
      assert.strictEqual(yield* ask({}), 200)
      assert.strictEqual(yield* ask({ ":authority": "evil.example" }), 403)
      assert.strictEqual(yield* ask({ origin: "https://evil.example" }), 403)
      assert.strictEqual(yield* ask({ host: "evil.example" }), 403)
      assert.strictEqual(yield* ask({ ":authority": url.host, host: "evil.example" }), 400)
    }).pipe(Effect.scoped)
  )

  it.live("every answer has the headers that keep it out of pages and caches", () =>
    Effect.gen(function* () {
      const url = yield* serve(loopback)
      for (const headers of [{ host: url.host }, { host: "evil.example" }]) {
        const answer = yield* Effect.promise(() => send(url, "GET", headers))
        assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
        assert.strictEqual(answer.headers["cross-origin-resource-policy"], "same-origin")
        assert.include(answer.headers["content-security-policy"] ?? "", "frame-ancestors 'none'")
        assert.strictEqual(answer.headers["cache-control"], "no-store")
      }
    }).pipe(Effect.scoped)
  )
})

describe("the headers of an answer", () => {
  // as Node.js's documentation has it, as Effect calls it, and as names and values in turn
  const ways: Readonly<Record<string, (response: ServerResponse) => ServerResponse>> = {
    "status, headers": (response) => response.writeHead(201, { "x-own": "kept" }),
    "status, message, headers": (response) => response.writeHead(201, "Created", { "x-own": "kept" }),
    "status, no message, headers": (response) => response.writeHead(201, undefined, { "x-own": "kept" }),
    "status, pairs": (response) => response.writeHead(201, ["x-own", "kept"]),
    "set before": (response) => response.setHeader("x-own", "kept").writeHead(201)
  }

  it.live.each(Object.entries(ways))("stay beside those of the policy, written as %s", ([, write]) =>
    Effect.gen(function* () {
      const url = yield* serve(loopback, "http1", (response) => void write(response).end("reached"))
      const answer = yield* Effect.promise(() => send(url, "GET", { host: url.host }))
      assert.deepStrictEqual([answer.status, answer.text], [201, "reached"])
      assert.strictEqual(answer.headers["x-own"], "kept")
      assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
    }).pipe(Effect.scoped)
  )
})

describe("an origin that is allowed", () => {
  const app = "https://app.example.com"
  const policy: OriginPolicy.OriginPolicy = { hosts: ["invoices.example.com"], origins: [app], tls: false }
  const host = "invoices.example.com:8080"

  it.live("gets the headers of CORS, and its preflight requests are answered", () =>
    Effect.gen(function* () {
      const url = yield* serve(policy)
      const answer = yield* Effect.promise(() => send(url, "POST", { host, origin: app }))
      assert.deepStrictEqual([answer.status, answer.text], [200, "reached"])
      assert.strictEqual(answer.headers["access-control-allow-origin"], app)
      assert.include(answer.headers["access-control-expose-headers"] ?? "", "Grpc-Status")
      assert.strictEqual(answer.headers.vary, "origin")
      const asked = { host, origin: app, "access-control-request-method": "POST" }
      const preflight = yield* Effect.promise(() => send(url, "OPTIONS", asked))
      assert.strictEqual(preflight.status, 204)
      assert.include(preflight.headers["access-control-allow-headers"] ?? "", "Connect-Protocol-Version")
    }).pipe(Effect.scoped)
  )

  it.live("is no other origin, and no other host name", () =>
    Effect.gen(function* () {
      const url = yield* serve(policy)
      for (const headers of [
        { host, origin: `${app}.evil.example` },
        { host, origin: "http://app.example.com" },
        { host: url.host, origin: app }
      ]) {
        assert.strictEqual(
          (yield* Effect.promise(() => send(url, "POST", headers))).status,
          403,
          JSON.stringify(headers)
        )
      }
    }).pipe(Effect.scoped)
  )
})
