/** What clients may make a port hold: bodies that don't come, answers that nobody reads, and requests in a row. */

import type { RequestListener } from "node:http"
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2"
import { connect, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Admission } from "@invoice/adapters/connect"
import { LimitMetrics } from "@invoice/core"
import type * as BoundedMessages from "@invoice/runtime-node/http/BoundedMessages"
import * as Listener from "@invoice/runtime-node/http/Listener"
import { Receiving } from "@invoice/runtime-node/http/Receiving"
import * as Router from "@invoice/runtime-node/http/Router"
import { Sending } from "@invoice/runtime-node/http/Sending"
import { Effect, Exit, Fiber, Scope } from "effect"
import { HttpServerResponse } from "effect/http"

const megabyte = 1_048_576

const budgetsOf = (options: {
  readonly receiving?: ConstructorParameters<typeof Receiving>[0]
  readonly sending?: ConstructorParameters<typeof Sending>[0]
}): BoundedMessages.Budgets => ({
  receiving: new Receiving(options.receiving),
  sending: new Sending(options.sending),
  maxAtWork: 64
})

const listen = (handler: RequestListener, options: Partial<Listener.Options> = {}) =>
  Listener.listen(handler, {
    address: { host: "127.0.0.1", port: 0 },
    speaks: "any",
    idleMillis: 60_000,
    stopMillis: 1_000,
    ...options
  })

/** Reads the body to its end, as a reader of messages does, and answers. */
const reading: RequestListener = (request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    if (!response.headersSent) response.end("read")
  })
  request.on("error", () => undefined)
}

const http2 = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const session = connectHttp2(url)
      session.on("error", () => undefined)
      return session
    }),
    (session) => Effect.sync(() => session.destroy())
  )

const http1 = (url: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(Number(new URL(url).port), "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.on("error", () => undefined)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Everything that a connection says until it is closed. */
const untilClosed = (socket: Socket) =>
  Effect.callback<string>((resume) => {
    let text = ""
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1")
    })
    socket.once("close", () => resume(Effect.succeed(text)))
  })

interface Ended {
  readonly status: number | undefined
  readonly grpcStatus: string | undefined
  readonly resetCode: number
}

/** Begins a body and doesn't complete it. */
const begin = (session: ClientHttp2Session, bytes: number, headers: Readonly<Record<string, string>> = {}) => {
  const stream = session.request({ ":path": "/", ":method": "POST", ...headers })
  let status: number | undefined
  let grpcStatus: string | undefined
  stream.on("response", (answer) => {
    status = answer[":status"]
    grpcStatus = answer["grpc-status"]?.toString()
  })
  stream.on("error", () => undefined)
  stream.resume()
  stream.write(Buffer.alloc(bytes))
  const ended = Effect.callback<Ended>((resume) => {
    stream.once("close", () => resume(Effect.succeed({ status, grpcStatus, resetCode: stream.rstCode ?? 0 })))
  })
  return { stream, ended }
}

/** Waits until something is so. */
const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const look = setInterval(() => {
      if (!holds()) return
      clearInterval(look)
      resume(Effect.void)
    }, 10)
    return Effect.sync(() => clearInterval(look))
  })

const enhanceYourCalm = 11

describe("bodies", () => {
  it.live("have a deadline with HTTP/1.1 and with HTTP/2, whether they are calls or not", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("body_deadline")
      const url = yield* listen(reading, { budgets: budgetsOf({ receiving: { millis: 200 } }) })
      const socket = yield* http1(url)
      socket.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx")
      const text = yield* untilClosed(socket)
      assert.match(text, /^HTTP\/1\.1 408 /u)
      assert.match(text, /connection: close/iu)
      const session = yield* http2(url)
      assert.strictEqual((yield* begin(session, 1).ended).status, 408)
      const call = yield* begin(session, 1, { "content-type": "application/grpc" }).ended
      assert.deepStrictEqual([call.status, call.grpcStatus], [200, "4"])
      assert.strictEqual(LimitMetrics.count("body_deadline") - before, 3)
    })
  )

  it.live("that are streams of messages may take long, but not be silent", () =>
    Effect.gen(function* () {
      const url = yield* listen(reading, {
        budgets: budgetsOf({ receiving: { millis: 1_500 } }),
        streamed: new Set(["/"])
      })
      const { ended, stream } = begin(yield* http2(url), 1)
      const startedAt = performance.now()
      const talking = setInterval(() => stream.write("a line\n"), 100)
      yield* Effect.callback<void>((resume) => {
        setTimeout(() => resume(Effect.void), 3_500)
      })
      assert.isFalse(stream.closed)
      clearInterval(talking)
      assert.strictEqual((yield* ended).status, 408)
      assert.isAbove(performance.now() - startedAt, 3_500)
    })
  )

  it.live("beyond the budget of their session are cut off, the slowest first, and others go on", () =>
    Effect.gen(function* () {
      const budgets = budgetsOf({ receiving: { maxBytes: 4 * megabyte } })
      const url = yield* listen(reading, { budgets })
      const session = yield* http2(url)
      // a rate is bytes by time: the body that came first and stopped after a kilobyte is the slowest
      const slow = begin(session, 1_000)
      yield* until(() => budgets.receiving.bytes >= 1_000)
      const many = Array.from({ length: 30 }, () => begin(session, 100_000))
      const first = yield* slow.ended
      assert.strictEqual(first.resetCode, enhanceYourCalm)
      yield* until(() => many.filter(({ stream }) => stream.closed).length >= 15)
      assert.isAtMost(budgets.receiving.bytes, megabyte)
      const good = begin(yield* http2(url), 1_000)
      good.stream.end()
      assert.strictEqual((yield* good.ended).status, 200)
    })
  )

  it.live("beyond the budget of the process are cut off, however many connections they come on", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("receiving_bytes")
      const budgets = budgetsOf({ receiving: { maxBytes: megabyte } })
      const url = yield* listen(reading, { budgets })
      const sockets = yield* Effect.forEach(Array.from({ length: 30 }), () => http1(url), { concurrency: 10 })
      for (const socket of sockets) {
        socket.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n")
        socket.write(Buffer.alloc(100_000))
      }
      yield* until(() => LimitMetrics.count("receiving_bytes") - before >= 20)
      assert.isAtMost(budgets.receiving.bytes, megabyte)
      for (const socket of sockets) socket.destroy()
      yield* until(() => budgets.receiving.bytes === 0)
    })
  )

  it("that come a byte at a time count for what it costs to hold them, until their answer begins", () => {
    const receiving = new Receiving()
    const options = { session: undefined, framing: undefined, isAwaited: () => true, cut: () => undefined }
    const body = receiving.begin(options)
    for (let sent = 0; sent < 1_000; sent++) receiving.received(body, new Uint8Array(1))
    assert.isAbove(receiving.bytes, 500_000)
    receiving.answered(body)
    assert.strictEqual(receiving.bytes, 0)
  })

  it.live("that are not complete hold no place among the requests in hand", () =>
    Effect.gen(function* () {
      const inFlight = Admission.make(1, "in_flight")
      const handler = yield* Router.handler(
        { "/": { POST: () => Effect.succeed(HttpServerResponse.text("served")) } },
        { inFlight }
      )
      const url = yield* listen(handler)
      const slow = yield* http1(url)
      slow.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nslo")
      const good = yield* Effect.promise(() => fetch(url, { method: "POST", body: "good" }))
      assert.strictEqual(good.status, 200)
      slow.write("w")
      yield* Effect.callback<void>((resume) => {
        slow.once("data", (chunk: Buffer) => {
          assert.match(chunk.toString("latin1"), /^HTTP\/1\.1 200/u)
          resume(Effect.void)
        })
      })
      yield* until(() => inFlight.count() === 0)
    })
  )
})

const large = Buffer.alloc(8 * megabyte)

describe("answers that nobody reads", () => {
  const answering: RequestListener = (_request, response) => void response.end(large)

  /** Asks with a window of nothing, so that no byte of an answer may be sent. */
  const askInVain = (url: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const session = connectHttp2(url, { settings: { initialWindowSize: 0 } })
        session.on("error", () => undefined)
        return session
      }),
      (session) => Effect.sync(() => session.destroy())
    )

  const ask = (session: ClientHttp2Session) => {
    const stream = session.request({ ":path": "/" })
    stream.on("error", () => undefined)
    stream.resume()
    return stream
  }

  it.live("end when they make no progress", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("write_stall")
      const budgets = budgetsOf({ sending: { stallMillis: 300 } })
      const url = yield* listen(answering, { budgets })
      const stream = ask(yield* askInVain(url))
      yield* until(() => stream.closed)
      assert.strictEqual(stream.rstCode, enhanceYourCalm)
      const socket = yield* http1(url)
      socket.pause()
      socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
      yield* until(() => LimitMetrics.count("write_stall") - before === 2)
      yield* until(() => budgets.sending.bytes === 0)
    })
  )

  it.live("beyond the budget are cut off, the one that waits longest first", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("sending_bytes")
      const budgets = budgetsOf({ sending: { maxBytes: 20 * megabyte } })
      const url = yield* listen(answering, { budgets })
      const first = ask(yield* askInVain(url))
      yield* until(() => budgets.sending.bytes > 0)
      // one for each session: Node.js itself refuses streams of a session that holds much
      const others = (yield* Effect.replicateEffect(askInVain(url), 3)).map(ask)
      yield* until(() => first.closed)
      assert.strictEqual(first.rstCode, enhanceYourCalm)
      yield* until(() => LimitMetrics.count("sending_bytes") - before === 2)
      assert.strictEqual(others.filter(({ closed }) => !closed).length, 2)
      assert.isAtMost(budgets.sending.bytes, 20 * megabyte)
    })
  )

  it.live("hold their place among the requests in hand until they are sent, or until another request needs it", () =>
    Effect.gen(function* () {
      const budgets = budgetsOf({})
      const inFlight = Admission.make(1, "in_flight", () => budgets.sending.makeRoom())
      const handler = yield* Router.handler(
        {
          "/": { GET: () => Effect.succeed(HttpServerResponse.uint8Array(large)) },
          "/small": { GET: () => Effect.succeed(HttpServerResponse.text("served")) }
        },
        { inFlight }
      )
      const url = yield* listen(handler, { budgets })
      const stream = ask(yield* askInVain(url))
      yield* until(() => budgets.sending.bytes > 0)
      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/small`))).status, 503)
      assert.strictEqual(inFlight.count(), 1)
      const served = yield* Effect.promise(async () => {
        for (;;) {
          const { status } = await fetch(`${url}/small`)
          if (status === 200) return status
        }
      })
      assert.strictEqual(served, 200)
      yield* until(() => stream.closed)
      yield* until(() => inFlight.count() === 0)
    })
  )

  it.live("keep further requests of their session waiting, and no others", () =>
    Effect.gen(function* () {
      let begun = 0
      const handler = yield* Router.handler(
        {
          "/": {
            GET: () =>
              Effect.sync(() => {
                begun++
                return HttpServerResponse.uint8Array(large)
              })
          }
        },
        { inFlight: Admission.make(100, "in_flight") }
      )
      const budgets = budgetsOf({})
      const url = yield* listen(handler, { budgets })
      const session = yield* askInVain(url)
      ask(session)
      yield* until(() => budgets.sending.bytes >= large.length)
      const further = [ask(session), ask(session)]
      const other = yield* http2(url)
      yield* Effect.callback<void>((resume) => {
        ask(other).once("close", () => resume(Effect.void))
      })
      assert.strictEqual(begun, 2)
      session.settings({ initialWindowSize: 2 ** 31 - 1 })
      session.setLocalWindowSize(2 ** 31 - 1)
      yield* until(() => further.every(({ closed }) => closed))
      assert.strictEqual(begun, 4)
    })
  )
})

describe("requests in a row on a connection of HTTP/1.1", () => {
  it.live("are served one after the other, in their order", () =>
    Effect.gen(function* () {
      let inHand = 0
      let most = 0
      const url = yield* listen((request, response) => {
        inHand++
        most = Math.max(most, inHand)
        setImmediate(() => {
          inHand--
          response.end(request.url)
        })
      })
      const socket = yield* http1(url)
      const paths = Array.from({ length: 20 }, (_, index) => `/${index}`)
      socket.write(
        paths
          .map(
            (path, index) =>
              `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${index === 19 ? "connection: close\r\n" : ""}\r\n`
          )
          .join("")
      )
      const text = yield* untilClosed(socket)
      assert.deepStrictEqual(text.match(/\/\d+(?=HTTP|$)/gu), paths)
      assert.strictEqual(most, 1)
    })
  )

  it.live("that nobody reads hold one answer, and too many of them close the connection", () =>
    Effect.gen(function* () {
      const before = LimitMetrics.count("pipelined")
      const budgets = budgetsOf({})
      let begun = 0
      const url = yield* listen(
        (_request, response) => {
          begun++
          setImmediate(() => response.end(large))
        },
        { budgets }
      )
      const socket = yield* http1(url)
      socket.pause()
      const get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
      socket.write(get.repeat(10))
      yield* until(() => budgets.sending.bytes > 0)
      assert.strictEqual(begun, 1)
      const flood = yield* http1(url)
      flood.write(get.repeat(1_000))
      yield* until(() => LimitMetrics.count("pipelined") - before === 1)
    })
  )
})

describe("a stop", () => {
  /** A port, and what stops it. */
  const running = (handler: Effect.Effect<RequestListener, never, Scope.Scope>) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const url = yield* Scope.provide(
        Effect.flatMap(handler, (handler) => listen(handler, { speaks: "http1" })),
        scope
      )
      return { url, stop: Effect.suspend(() => Scope.close(scope, Exit.void)) }
    })

  it.live("tells clients that keep their connection to close it, instead of breaking it", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* running(Effect.succeed((_request, response) => void response.end("ok")))
      const socket = yield* http1(url)
      const answer = Effect.callback<string>((resume) => {
        socket.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk.toString("latin1"))))
        socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
      })
      assert.match(yield* answer, /connection: keep-alive/iu)
      const stopping = yield* Effect.forkChild(stop, { startImmediately: true })
      assert.match(yield* answer, /^HTTP\/1\.1 200 .*connection: close/isu)
      yield* Fiber.join(stopping)
    })
  )

  it.live("ends in its time, however slow the bodies of requests are", () =>
    Effect.gen(function* () {
      const inFlight = Admission.make(1, "in_flight")
      const { stop, url } = yield* running(
        Router.handler({ "/": { POST: () => Effect.succeed(HttpServerResponse.text("served")) } }, { inFlight })
      )
      const socket = yield* http1(url)
      const request = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n"
      yield* Effect.callback<void>((resume) => {
        socket.once("data", () => resume(Effect.void))
        socket.write(request)
      })
      yield* Effect.all([untilClosed(socket), stop], { concurrency: 2 })
    })
  )
})
