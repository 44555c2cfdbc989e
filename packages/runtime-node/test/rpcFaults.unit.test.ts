/** What a client is told of a call that can't be read, and what such calls may cost. */
import { connect as connectHttp2 } from "node:http2"
import { connect } from "node:net"
import { brotliCompressSync, gzipSync } from "node:zlib"
import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceService } from "@invoice/adapters/connect/gen/invoice/v1/invoice_service_pb"
import { LimitMetrics } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Metric } from "effect"
import { api, memory } from "./Ports.ts"

interface Told {
  readonly status: number
  readonly code: string | undefined
  readonly message: string | undefined
}

const told = async (response: Response): Promise<Told> => {
  const { code, detail, message } = JSON.parse(await response.text())
  return { status: response.status, code, message: message ?? detail }
}

const json = { "content-type": "application/json" }

const service = "invoice.v1.InvoiceService"

const call = (
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<Told> =>
  Effect.promise(async () =>
    told(
      await fetch(`${url}/${service}/Create`, {
        method: "POST",
        body,
        headers: { "content-type": "application/json", ...headers }
      })
    )
  )

/** The status of a gRPC call with a body of bytes, in an envelope. */
const grpc = (
  url: string,
  message: Uint8Array,
  options: { readonly compressed?: boolean; readonly headers?: Readonly<Record<string, string>> } = {}
) =>
  Effect.callback<string | undefined>((resume) => {
    const session = connectHttp2(url)
    const stream = session.request({
      ":path": `/${service}/Get`,
      ":method": "POST",
      "content-type": "application/grpc",
      te: "trailers",
      ...options.headers
    })
    let status: string | undefined
    const see = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers["grpc-status"]?.toString() ?? status
    }
    stream.on("response", see)
    stream.on("trailers", see)
    stream.on("close", () => {
      session.close()
      resume(Effect.succeed(status))
    })
    stream.resume()
    const prefix = Buffer.alloc(5)
    prefix[0] = options.compressed === true ? 1 : 0
    prefix.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([prefix, message]))
  })

const fresh = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

const ones = `[${"1,".repeat(500_000)}1]`

describe("a call that can't be read", () => {
  it.live("is its client's fault: INVALID_ARGUMENT, whatever is wrong with it", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true" })
      const malformed = fresh(Uint8Array.of(0x0a, 0xff))
      const invalidUtf8 = fresh(
        Buffer.concat([Buffer.from('{"invoice":{"notes":"'), Buffer.of(0xff), Buffer.from('"}}')])
      )
      const truncated = fresh(gzipSync("{}").subarray(0, -4))
      const answers = [
        yield* call(url, malformed, { "content-type": "application/proto" }),
        yield* call(url, invalidUtf8),
        yield* call(url, truncated, { "content-encoding": "gzip" }),
        yield* call(url, "not gzip", { "content-encoding": "gzip" }),
        yield* call(url, '{"invoice":{"notes":"a","notes":"b"}}'),
        yield* call(url, `{"invoice":${ones}}`)
      ]
      for (const answer of answers) assert.deepStrictEqual([answer.status, answer.code], [400, "invalid_argument"])
      const get = yield* Effect.promise(async () =>
        told(await fetch(`${url}/${service}/Get?connect=v1&encoding=proto&base64=1&message=%7B%7D!`))
      )
      assert.deepStrictEqual([get.status, get.code], [400, "invalid_argument"])
      assert.strictEqual(yield* grpc(url, malformed), String(Code.InvalidArgument))
      assert.strictEqual(yield* grpc(url, truncated, { compressed: true, headers: { "grpc-encoding": "gzip" } }), "3")
    }).pipe(Effect.provide(memory))
  )

  it.live("in base64 is read when it is base64, with padding or without, in both alphabets", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true" })
      const id = Buffer.from([0x0a, 4, ...Buffer.from("??>>")])
      for (const message of [id.toString("base64url"), encodeURIComponent(id.toString("base64"))]) {
        const answer = yield* Effect.promise(async () =>
          told(await fetch(`${url}/${service}/Get?connect=v1&encoding=proto&base64=1&message=${message}`))
        )
        assert.notInclude(answer.message ?? "", "base64")
        assert.notStrictEqual(answer.code, "internal")
      }
    }).pipe(Effect.provide(memory))
  )

  it.live("that inflates to many times its size is refused, on every protocol and route", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("inflation")
      const { api: url = "" } = yield* api({ ONE_PORT: "true" })
      const bomb = fresh(gzipSync(ones))
      const headers = { "content-encoding": "gzip" }
      const connect = yield* call(url, bomb, headers)
      assert.deepStrictEqual([connect.status, connect.code], [429, "resource_exhausted"])
      const brotli = yield* call(url, fresh(brotliCompressSync(ones)), { "content-encoding": "br" })
      assert.deepStrictEqual([brotli.status, brotli.code], [429, "resource_exhausted"])
      const rest = yield* Effect.promise(async () =>
        told(await fetch(`${url}/api/invoice/create`, { method: "POST", body: bomb, headers }))
      )
      assert.deepStrictEqual([rest.status, rest.message], [413, "the body inflates to more than 20 times its size"])
      assert.strictEqual(
        yield* grpc(url, bomb, { compressed: true, headers: { "grpc-encoding": "gzip" } }),
        String(Code.ResourceExhausted)
      )
      assert.strictEqual(LimitMetrics.count("inflation") - before, 4)
      const document = { invoice: Generators.document() }
      const good = yield* Effect.promise(() =>
        fetch(`${url}/api/invoice/create`, { method: "POST", body: fresh(gzipSync(JSON.stringify(document))), headers })
      )
      assert.strictEqual(good.status, 200)
    }).pipe(Effect.provide(memory))
  )
})

describe("JSON with too many values, or a member twice", () => {
  it.live("is refused by REST too", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("json_values")
      const { api: url = "" } = yield* api()
      const post = (body: string) =>
        Effect.promise(async () =>
          told(await fetch(`${url}/api/invoice/create`, { method: "POST", body, headers: json }))
        )
      const many = yield* post(`{"invoice":${ones}}`)
      assert.deepStrictEqual([many.status, many.message], [400, "the document has more than 10000 values"])
      assert.strictEqual(LimitMetrics.count("json_values") - before, 1)
      const twice = yield* post('{"invoice":{"notes":"a","notes":"b"}}')
      assert.deepStrictEqual([twice.status, twice.message], [400, 'an object has the member "notes" twice'])
    }).pipe(Effect.provide(memory))
  )
})

describe("a deadline", () => {
  it.live("of years is no deadline that has passed", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true" })
      const unknown = Uint8Array.of(0x0a, 36, ...Buffer.from(crypto.randomUUID()))
      assert.strictEqual(yield* grpc(url, unknown, { headers: { "grpc-timeout": "99999999H" } }), String(Code.NotFound))
      const answer = yield* call(url, JSON.stringify({ invoice: {} }), { "connect-timeout-ms": "9999999999" })
      assert.strictEqual(answer.code, "invalid_argument")
    }).pipe(Effect.provide(memory))
  )
})

/** How often watches have ended with a code. */
const watches = (code: string): Effect.Effect<number> =>
  Effect.map(Metric.snapshot, (metrics) =>
    metrics
      .filter(
        ({ attributes, id }) =>
          id === "rpc_requests_total" && attributes?.["method"] === "Watch" && attributes["code"] === code
      )
      .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
  )

const becomes = (read: Effect.Effect<number>, wanted: number): Effect.Effect<void> =>
  Effect.flatMap(read, (value) =>
    value === wanted ? Effect.void : Effect.andThen(Effect.sleep(10), becomes(read, wanted))
  )

describe("watches", () => {
  it.live("that their client kills count as canceled, however it does so", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true" })
      const before = yield* watches("canceled")
      // an open watch: a message has come
      const watch = (kill: (session: ReturnType<typeof connectHttp2>, close: (code: number) => void) => void) =>
        Effect.callback<void>((resume) => {
          const session = connectHttp2(url)
          session.on("error", () => undefined)
          const stream = session.request({
            ":path": `/${service}/Watch`,
            ":method": "POST",
            "content-type": "application/grpc",
            te: "trailers"
          })
          stream.on("error", () => undefined)
          stream.once("data", () => kill(session, (code) => stream.close(code)))
          stream.once("close", () => {
            session.destroy()
            resume(Effect.void)
          })
          stream.end(Buffer.from([0, 0, 0, 0, 0]))
        })
      yield* watch((session) => session.socket.destroy())
      yield* watch((_session, close) => close(8))
      yield* watch((_session, close) => close(2))
      const socket = connect(Number(new URL(url).port), "127.0.0.1")
      socket.on("error", () => undefined)
      socket.write(
        `POST /${service}/Watch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/connect+json\r\ncontent-length: 7\r\n\r\n`
      )
      socket.write(Buffer.from([0, 0, 0, 0, 2, 0x7b, 0x7d]))
      socket.once("data", () => socket.resetAndDestroy())
      yield* becomes(watches("canceled"), before + 4)
      assert.strictEqual(yield* watches("internal"), 0)
    }).pipe(Effect.provide(memory))
  )

  it.live("have a budget of their own", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true", HTTP_MAX_WATCHES: "1", HTTP_MAX_IN_FLIGHT: "1" })
      const client = createClient(InvoiceService, createGrpcTransport({ baseUrl: url }))
      yield* Effect.promise(async () => {
        for await (const _ of client.watch({})) {
          const refused = await client
            .watch({})
            [Symbol.asyncIterator]()
            .next()
            .then(
              () => undefined,
              (error: unknown) => ConnectError.from(error).code
            )
          assert.strictEqual(refused, Code.ResourceExhausted)
          const { status } = await fetch(`${url}/api/invoice/get`, {
            method: "POST",
            body: '{"id":"5"}',
            headers: json
          })
          assert.strictEqual(status, 422)
          return
        }
      })
    }).pipe(Effect.provide(memory))
  )
})

describe("imports", () => {
  it.live("have a budget of their own, so that open ones leave the places of other calls free", () =>
    Effect.gen(function* () {
      const { api: url = "" } = yield* api({ ONE_PORT: "true", HTTP_MAX_IMPORTS: "1", HTTP_MAX_IN_FLIGHT: "1" })
      const client = createClient(InvoiceService, createGrpcTransport({ baseUrl: url }))
      yield* Effect.promise(async () => {
        const open = new AbortController()
        const requests = async function* () {
          yield { invoice: { id: "5" } }
          await new Promise((resolve) => open.signal.addEventListener("abort", resolve))
        }
        for await (const { line } of client.import(requests())) {
          assert.strictEqual(line, 1n)
          const refused = await client
            .import(requests())
            [Symbol.asyncIterator]()
            .next()
            .catch((error: unknown) => ConnectError.from(error).code)
          assert.strictEqual(refused, Code.ResourceExhausted)
          const got = await client.get({ id: "5" }).catch((error: unknown) => ConnectError.from(error).code)
          assert.strictEqual(got, Code.InvalidArgument)
          open.abort()
        }
      })
    }).pipe(Effect.provide(memory))
  )
})
