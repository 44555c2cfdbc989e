import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { connect as connectHttp2 } from "node:http2"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect as connectTls } from "node:tls"
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceService } from "@invoice/adapters/connect/gen/invoice/v1/invoice_service_pb"
import { InvoiceStore } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Exit, Layer, Scope } from "effect"
import { api, memory } from "./Ports.ts"
import { create, get } from "./Process.ts"

const invoice = () => {
  const { items, ...document } = Generators.document() as Record<string, string> & {
    readonly items: ReadonlyArray<Record<string, string>>
  }
  return {
    id: String(document["id"]),
    customerId: String(document["customer_id"]),
    amount: String(document["amount"]),
    currency: String(document["currency"]),
    items: items.map((item) => ({
      description: String(item["description"]),
      quantity: String(item["quantity"]),
      unitPrice: String(item["unit_price"]),
      total: String(item["total"])
    }))
  }
}

/** Creates and gets, watches, and imports where both sides can stream. */
const exercise = (transport: Transport, bothWays: boolean) =>
  Effect.promise(async () => {
    const client = createClient(InvoiceService, transport)
    const sent = invoice()
    assert.isTrue((await client.create({ invoice: sent })).created)
    const { invoice: stored } = await client.get({ id: sent.id })
    assert.strictEqual(stored?.invoice?.amount, "1050")
    for await (const { change } of client.watch({ start: { case: "fromBeginning", value: true } })) {
      if (change?.id === sent.id) break
    }
    const outcomes: Array<unknown> = []
    const requests = async function* () {
      for (let line = 0; line < 100; line++) {
        // the answers come while the requests are still being sent
        yield { invoice: line === 50 ? { ...invoice(), amount: "1e9" } : invoice() }
      }
    }
    if (bothWays) {
      for await (const { line, outcome } of client.import(requests())) outcomes.push([Number(line), outcome.case])
      assert.deepStrictEqual(
        outcomes,
        Array.from({ length: 100 }, (_, line) => [line + 1, line === 50 ? "failure" : "created"])
      )
    }
  })

const rest = (url: string) =>
  Effect.promise(async () => {
    const document = Generators.document()
    assert.strictEqual((await create(url, document)).status, 200)
    assert.strictEqual((await get(url, document["id"])).status, 200)
    assert.strictEqual((await fetch(`${url}/readyz`)).status, 200)
    assert.strictEqual((await fetch(`${url}/nowhere`)).status, 404)
  })

const open = (url: string): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(Number(new URL(url).port), "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Sends byte by byte, each in a segment of its own. */
const dribble = (socket: Socket, text: string): Effect.Effect<void> =>
  Effect.forEach(
    [...Buffer.from(text, "latin1")],
    (byte) =>
      Effect.callback<void>((resume) => {
        socket.write(Uint8Array.of(byte), () => setImmediate(() => resume(Effect.void)))
      }),
    { discard: true }
  )

const heard = (socket: Socket): Effect.Effect<Buffer> =>
  Effect.callback((resume) => {
    socket.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk)))
  })

const closed = (socket: Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.destroyed) resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
    socket.resume()
  })

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const emptySettings = "\0\0\0\x04\0\0\0\0\0"

describe("two ports", () => {
  it.live("REST, Connect and gRPC-Web answer on one, gRPC on the other", () =>
    Effect.gen(function* () {
      const { api: http, grpc } = yield* api()
      yield* rest(http ?? "")
      yield* exercise(createConnectTransport({ baseUrl: http ?? "", httpVersion: "1.1" }), false)
      yield* exercise(createGrpcWebTransport({ baseUrl: http ?? "", httpVersion: "1.1" }), false)
      yield* exercise(createGrpcTransport({ baseUrl: grpc ?? "" }), true)
    }).pipe(Effect.provide(memory))
  )
})

describe("one port", () => {
  it.live("speaks REST, Connect, gRPC and gRPC-Web over HTTP/1.1 and HTTP/2", () =>
    Effect.gen(function* () {
      const urls = yield* api({ ONE_PORT: "true" })
      assert.deepStrictEqual(Object.keys(urls), ["api"])
      const baseUrl = urls["api"] ?? ""
      yield* rest(baseUrl)
      yield* exercise(createConnectTransport({ baseUrl, httpVersion: "1.1" }), false)
      yield* exercise(createConnectTransport({ baseUrl, httpVersion: "2" }), true)
      yield* exercise(createGrpcTransport({ baseUrl }), true)
      yield* exercise(createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }), false)
      yield* exercise(createGrpcWebTransport({ baseUrl, httpVersion: "2" }), true)
    }).pipe(Effect.provide(memory))
  )

  it.live("answers REST over HTTP/2", () =>
    Effect.gen(function* () {
      const { api: url } = yield* api({ ONE_PORT: "true" })
      const body = yield* Effect.callback<string>((resume) => {
        const session = connectHttp2(url ?? "")
        const stream = session.request({ ":path": "/readyz" })
        let text = ""
        stream.on("data", (chunk: Buffer) => {
          text += chunk.toString()
        })
        stream.on("end", () => {
          session.close()
          resume(Effect.succeed(text))
        })
      })
      assert.strictEqual(body, '{"status":"ready"}')
    }).pipe(Effect.provide(memory))
  )

  it.live("takes a preface and a request that come byte by byte", () =>
    Effect.gen(function* () {
      const { api: url } = yield* api({ ONE_PORT: "true" })
      const http2 = yield* open(url ?? "")
      yield* dribble(http2, preface + emptySettings)
      // a SETTINGS frame: length, then type 4
      assert.strictEqual((yield* heard(http2))[3], 4)
      for (const request of [
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "PUT /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
      ]) {
        const http1 = yield* open(url ?? "")
        yield* dribble(http1, request)
        assert.match((yield* heard(http1)).toString("latin1"), /^HTTP\/1\.1 (200|405)/u)
      }
    }).pipe(Effect.provide(memory))
  )

  it.live("closes what is neither, and connections that say nothing, or nothing more", () =>
    Effect.gen(function* () {
      const { api: url } = yield* api({ ONE_PORT: "true", IDLE_TIMEOUT_MS: "200" })
      const garbage = yield* open(url ?? "")
      garbage.write("PRI * HTTP/1.0 and then something else\r\n\r\n")
      yield* closed(garbage)
      yield* closed(yield* open(url ?? ""))
      const http2 = yield* open(url ?? "")
      http2.write(preface + emptySettings)
      yield* closed(http2)
      const http1 = yield* open(url ?? "")
      http1.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
      yield* heard(http1)
      yield* closed(http1)
    }).pipe(Effect.provide(memory))
  )

  it.live("outlives calls whose host or path can't be read", () =>
    Effect.gen(function* () {
      const { api: url } = yield* api({ ONE_PORT: "true" })
      const path = "/invoice.v1.InvoiceService/Get"
      for (const head of [`POST ${path} HTTP/1.0\r\n`, `POST ${path} HTTP/1.1\r\nhost: [\r\n`]) {
        const socket = yield* open(url ?? "")
        socket.write(`${head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`)
        assert.match((yield* heard(socket)).toString("latin1"), /^HTTP\/1\.1 400/u)
      }
      yield* rest(url ?? "")
    }).pipe(Effect.provide(memory))
  )
})

describe("a stop", () => {
  it.live("tells watches to come back, finishes what is in hand, and takes no more", () =>
    Effect.gen(function* () {
      let release = (): void => undefined
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      let entered = 0
      let enter = (): void => undefined
      const inHand = new Promise<void>((resolve) => {
        enter = () => {
          entered++
          if (entered === 2) resolve()
        }
      })
      const slow = Layer.effect(
        InvoiceStore,
        Effect.map(InvoiceStore, (store) => ({
          ...store,
          create: (...parameters: Parameters<typeof store.create>) =>
            Effect.promise(() => {
              enter()
              return gate
            }).pipe(Effect.andThen(store.create(...parameters)))
        }))
      ).pipe(Layer.provideMerge(memory))
      yield* Effect.gen(function* () {
        const scope = yield* Scope.make()
        const urls = yield* Scope.provide(api({ ONE_PORT: "true" }), scope)
        const baseUrl = urls["api"] ?? ""
        const transports = [createGrpcTransport({ baseUrl }), createConnectTransport({ baseUrl, httpVersion: "1.1" })]
        const watches = transports.map(async (transport) => {
          try {
            for await (const _ of createClient(InvoiceService, transport).watch({})) started()
          } catch (error) {
            return ConnectError.from(error).code
          }
          return undefined
        })
        let signs = 0
        let started = (): void => undefined
        yield* Effect.callback<void>((resume) => {
          started = () => {
            signs++
            if (signs === transports.length) resume(Effect.void)
          }
        })
        const creating = transports.map((transport) =>
          createClient(InvoiceService, transport).create({ invoice: invoice() })
        )
        yield* Effect.promise(() => inHand)
        const stopping = Effect.runPromise(Scope.close(scope, Exit.void))
        assert.deepStrictEqual(yield* Effect.promise(() => Promise.all(watches)), [Code.Unavailable, Code.Unavailable])
        const refused = yield* Effect.promise(() => fetch(`${baseUrl}/healthz`).then(String, () => "refused"))
        assert.strictEqual(refused, "refused")
        release()
        const answers = yield* Effect.promise(() => Promise.all(creating))
        assert.deepStrictEqual(
          answers.map(({ created }) => created),
          [true, true]
        )
        yield* Effect.promise(() => stopping)
      }).pipe(Effect.provide(slow))
    })
  )
})

describe("TLS", () => {
  const directory = mkdtempSync(join(tmpdir(), "tls-"))
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]

  it.live("speaks HTTP/2 to whom ALPN says so and HTTP/1.1 to the others, on one port", () =>
    Effect.gen(function* () {
      execFileSync(
        "openssl",
        // biome-ignore format: an option and its value belong together
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
          "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", key, "-out", cert],
        { stdio: "ignore" }
      )
      const urls = yield* api({ TLS_KEY: key, TLS_CERT: cert })
      assert.deepStrictEqual(Object.keys(urls), ["api"])
      const baseUrl = urls["api"] ?? ""
      assert.match(baseUrl, /^https:/u)
      const nodeOptions = { ca: readFileSync(cert) }
      yield* exercise(createGrpcTransport({ baseUrl, nodeOptions }), true)
      yield* exercise(createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions }), true)
      yield* exercise(createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }), false)
      yield* exercise(createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions }), false)
      for (const [offered, chosen] of [
        [["h2", "http/1.1"], "h2"],
        [["http/1.1"], "http/1.1"],
        [[], false]
      ] as const) {
        const protocol = yield* Effect.callback<unknown>((resume) => {
          const socket = connectTls(
            { host: "127.0.0.1", port: Number(new URL(baseUrl).port), ca: nodeOptions.ca, ALPNProtocols: [...offered] },
            () => {
              socket.destroy()
              resume(Effect.succeed(socket.alpnProtocol))
            }
          )
        })
        assert.strictEqual(protocol, chosen)
      }
    }).pipe(Effect.provide(memory), Effect.ensuring(Effect.sync(() => rmSync(directory, { recursive: true }))))
  )
})
