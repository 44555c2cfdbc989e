/** The metadata `idempotency-key` of InvoiceService.Create, in every protocol, and in the clients. */
import { createServer as createHttp1 } from "node:http"
import { createServer as createHttp2 } from "node:http2"
import type { AddressInfo } from "node:net"
import { toBinary } from "@bufbuild/protobuf"
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport
} from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { type Invoice, InvoiceStore, Invoices, Principal, Profile, ProfileValidator } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer } from "effect"
import * as Errors from "../src/connect/Errors.ts"
import { CreateResponseSchema, InvoiceService } from "../src/connect/gen/invoice/v1/invoice_service_pb.ts"
import { InvoiceClient, Server } from "../src/connect/index.ts"
import * as Messages from "../src/connect/Messages.ts"
import * as PromiseClient from "../src/connect/promise.ts"
import { Memory } from "../src/memory/index.ts"

const layer = Invoices.layer.pipe(
  Layer.provideMerge(Memory.layer),
  Layer.provide(ProfileValidator.layer(Profile.core)),
  Layer.fresh
)

/** A transport for each protocol, to a server of its own. */
const serving = Effect.gen(function* () {
  const handler = connectNodeAdapter({ routes: yield* Server.publicRoutes({ ready: Effect.void }) })
  const listen = (server: ReturnType<typeof createHttp1> | ReturnType<typeof createHttp2>) =>
    Effect.acquireRelease(
      Effect.callback<string>((resume) => {
        server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
        )
      }),
      () => Effect.sync(() => void server.close())
    )
  const [http1, http2] = [yield* listen(createHttp1(handler)), yield* listen(createHttp2(handler))]
  const json = { baseUrl: http1, httpVersion: "1.1", useBinaryFormat: false } as const
  return {
    http1,
    transports: {
      Connect: createConnectTransport(json),
      gRPC: createGrpcTransport({ baseUrl: http2 }),
      "gRPC-Web": createGrpcWebTransport({ baseUrl: http1, httpVersion: "1.1" })
    } satisfies Record<string, Transport>
  }
})

const createWith = (transport: Transport, invoice: Invoice.Invoice, key: string) =>
  Effect.tryPromise({
    try: () =>
      createClient(InvoiceService, transport).create(
        { invoice: Messages.fromInvoice(invoice) },
        { headers: { "idempotency-key": key } }
      ),
    catch: (error) => ConnectError.from(error)
  })

const approve = (id: Invoice.InvoiceId) =>
  Effect.flatMap(InvoiceStore, (store) =>
    store.decide([{ id, version: 1, verdict: { status: "Approved", violations: [], by: "test@1" } }])
  )

describe("the metadata idempotency-key", () => {
  it.live("in each protocol: the same answer byte for byte, though the invoice is approved by now", () =>
    Effect.gen(function* () {
      const { transports } = yield* serving
      const invoice = Generators.invoice()
      const answers: Array<string> = []
      for (const key of ["k-1", '"k-1"', ' "k-1" ']) {
        for (const transport of Object.values(transports)) {
          const response = yield* createWith(transport, invoice, key)
          answers.push(Buffer.from(toBinary(CreateResponseSchema, response)).toString("hex"))
          yield* approve(invoice.id)
        }
      }
      assert.strictEqual(answers.length, 9)
      assert.strictEqual(new Set(answers).size, 1)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("in each protocol: other content is FAILED_PRECONDITION, and a text that is no key INVALID_ARGUMENT", () =>
    Effect.gen(function* () {
      const { transports } = yield* serving
      for (const transport of Object.values(transports)) {
        const key = crypto.randomUUID()
        yield* createWith(transport, Generators.invoice(), key)
        const reused = yield* Effect.flip(createWith(transport, Generators.invoice(), key))
        assert.strictEqual(reused.code, Code.FailedPrecondition)
        assert.strictEqual(Errors.fromConnect(reused)?._tag, "IdempotencyKeyReused")
        for (const text of ["a b", '"a', "x".repeat(256), ""]) {
          const refused = yield* Effect.flip(createWith(transport, Generators.invoice(), text))
          assert.strictEqual(refused.code, Code.InvalidArgument, text)
          assert.strictEqual(Errors.fromConnect(refused)?._tag, "InvalidIdempotencyKey", text)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("is sent by the client of Effect and by the one of promises", () =>
    Effect.gen(function* () {
      const { http1, transports } = yield* serving
      const effects = InvoiceClient.make(transports.gRPC)
      const promises = PromiseClient.createClient({ baseUrl: http1 })
      const document = Generators.document()
      const first = yield* effects.create(document, { idempotencyKey: "k-1" })
      yield* approve(first.stored.invoice.id)
      const again = yield* effects.create(document, { idempotencyKey: "k-1" })
      assert.deepStrictEqual(again, first)
      const third = yield* Effect.promise(() => promises.create(document, { idempotencyKey: '"k-1"' }))
      assert.isTrue(third.created)
      assert.strictEqual(third.invoice.status, "Pending")
      const other = { ...document, notes: "x" }
      for (const [key, tag] of [
        ["k-1", "IdempotencyKeyReused"],
        ["a\nb", "InvalidIdempotencyKey"]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(effects.create(other, { idempotencyKey: key })))._tag, tag)
        const code = yield* Effect.promise(() =>
          promises.create(other, { idempotencyKey: key }).then(
            () => "none",
            (error: PromiseClient.InvoiceClientError) => error.code
          )
        )
        assert.strictEqual(code, tag)
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("names no principal: the server's own is the one in the history", () =>
    Effect.gen(function* () {
      const { transports } = yield* serving
      const store = yield* InvoiceStore
      const invoice = Generators.invoice()
      yield* createWith(transports.gRPC, invoice, "k-1")
      const [entry] = yield* store.history(invoice.id)
      assert.strictEqual(entry?.by, "mary")
    }).pipe(Effect.scoped, Effect.provideService(Principal, "mary"), Effect.provide(layer))
  )
})
