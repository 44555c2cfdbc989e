/** Clients of HTTP/2 that take back what they ask for. */
import type { RequestListener } from "node:http"
import { type ClientHttp2Session, connect, constants } from "node:http2"
import { assert, describe, it } from "@effect/vitest"
import { LimitMetrics } from "@invoice/core"
import * as Listener from "@invoice/runtime-node/http/Listener"
import { Effect } from "effect"

/** Answers /answered, and lets every other request wait for ever. */
const listen = (handler: RequestListener) =>
  Listener.listen(handler, {
    address: { host: "127.0.0.1", port: 0 },
    speaks: "http2",
    idleMillis: 60_000,
    stopMillis: 100
  })

const answering: RequestListener = (request, response) => {
  if (request.url === "/answered") response.end("ok")
}

const open = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const session = connect(url)
      session.on("error", () => undefined)
      return session
    }),
    (session) => Effect.sync(() => session.destroy())
  )

const requests = (session: ClientHttp2Session, count: number) =>
  Array.from({ length: count }, () => session.request({ ":path": "/" }).on("error", () => undefined))

/** Begins requests, and takes them back when the server has seen them. */
const takeBack = async (session: ClientHttp2Session, count: number): Promise<void> => {
  const streams = requests(session, count)
  await pinged(session)
  for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL)
  await pinged(session)
}

const pinged = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve) => {
    session.once("close", resolve)
    if (session.destroyed || !session.ping(() => resolve())) resolve()
  })

const answered = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/answered" })
    stream.on("error", reject).once("end", resolve).resume()
  })

describe("a session of HTTP/2", () => {
  it.live("is closed with ENHANCE_YOUR_CALM when its client takes back more than it lets finish", () =>
    Effect.gen(function* () {
      const session = yield* open(yield* listen(answering))
      const before = LimitMetrics.count("resets")
      let code: number | undefined
      session.once("goaway", (given: number) => (code = given))
      const closed = new Promise((resolve) => session.once("close", resolve))
      yield* Effect.promise(() => takeBack(session, 300))
      yield* Effect.promise(() => closed)
      assert.strictEqual(code, constants.NGHTTP2_ENHANCE_YOUR_CALM)
      assert.strictEqual(LimitMetrics.count("resets"), before + 1)
    })
  )

  it.live("goes on when its client takes back some, also many besides those that it lets finish", () =>
    Effect.gen(function* () {
      const session = yield* open(yield* listen(answering))
      yield* Effect.promise(async () => {
        for (let round = 0; round < 4; round++) {
          await takeBack(session, 150)
          await Promise.all(Array.from({ length: 150 }, () => answered(session)))
        }
      })
      assert.isFalse(session.destroyed)
    })
  )

  it.live("begins no request that was taken back before it was read to its end", () =>
    Effect.gen(function* () {
      let begun = 0
      const url = yield* listen((request, response) => {
        if (request.url === "/answered") response.end("ok")
        else begun++
      })
      const session = yield* open(url)
      yield* Effect.promise(async () => {
        await answered(session)
        // what is sent in one turn of the client's loop arrives together
        for (const stream of requests(session, 50)) stream.close(constants.NGHTTP2_CANCEL)
        await answered(session)
      })
      assert.isBelow(begun, 25)
    })
  )
})
