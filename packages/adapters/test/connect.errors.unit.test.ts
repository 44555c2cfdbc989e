import { createServer as createHttp1 } from "node:http"
import { createServer as createHttp2 } from "node:http2"
import type { AddressInfo } from "node:net"
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport
} from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import {
  ConsumerUnavailable,
  CursorExpired,
  IdempotencyKeyReused,
  InvalidCursor,
  InvalidIdempotencyKey,
  InvalidInvoice,
  InvoiceConflict,
  InvoiceNotFound,
  LeaseLost,
  OutboxRestored,
  OutboxUnavailable,
  PublishRefused,
  PublishTransient,
  StoreUnavailable
} from "@invoice/core"
import { Effect, Logger, References, Stream } from "effect"
import * as Errors from "../src/connect/Errors.ts"
import { BadRequestSchema } from "../src/connect/gen/google/rpc/error_details_pb.ts"
import { InvoiceService } from "../src/connect/gen/invoice/v1/invoice_service_pb.ts"
import * as ServerCalls from "../src/connect/ServerCalls.ts"

const secret = new Error("password=hunter2 at a secret place")

/** Every error that a call can fail with, and the code that a client sees. The type leaves none out. */
const table: { readonly [Tag in Errors.CallError["_tag"]]: readonly [Extract<Errors.CallError, { _tag: Tag }>, Code] } =
  {
    InvalidInvoice: [
      new InvalidInvoice({
        kind: "meaning",
        violations: [
          { code: "INV-SCALE", severity: "error", path: "/invoice/items/0/unit_price", message: "has…", expected: "a" },
          { code: "INV-DATE", severity: "warning", path: "", message: "is żółć", actual: "b" }
        ]
      }),
      Code.InvalidArgument
    ],
    InvoiceNotFound: [new InvoiceNotFound({ id: "5" }), Code.NotFound],
    InvoiceConflict: [new InvoiceConflict({ id: "5" }), Code.AlreadyExists],
    InvalidIdempotencyKey: [new InvalidIdempotencyKey({ reason: "is empty" }), Code.InvalidArgument],
    IdempotencyKeyReused: [new IdempotencyKeyReused({ key: "k" }), Code.FailedPrecondition],
    InvalidCursor: [new InvalidCursor({ cursor: "x" }), Code.InvalidArgument],
    CursorExpired: [new CursorExpired({ cursor: "x" }), Code.OutOfRange],
    StoreUnavailable: [new StoreUnavailable({ kind: "unavailable", cause: secret }), Code.Unavailable],
    OutboxUnavailable: [new OutboxUnavailable({ cause: secret }), Code.Unavailable],
    OutboxRestored: [new OutboxRestored({ expected: "1", found: "2" }), Code.FailedPrecondition],
    LeaseLost: [new LeaseLost({ lane: 3 }), Code.Aborted],
    PublishTransient: [new PublishTransient({ cause: secret }), Code.Unavailable],
    PublishRefused: [new PublishRefused({ records: [{ index: 0, reason: "too large" }] }), Code.FailedPrecondition],
    ConsumerUnavailable: [new ConsumerUnavailable({ cause: secret }), Code.Unavailable],
    AmountNotExact: [new Errors.AmountNotExact({ path: "/amount", value: "0.0001" }), Code.FailedPrecondition],
    InvoiceAlreadyFinal: [new Errors.InvoiceAlreadyFinal({ id: "5", status: "Rejected" }), Code.FailedPrecondition]
  }

/** A server whose Get and Watch fail as they are told; answers a client's transport for each protocol. */
const failing = (effect: Effect.Effect<never, Errors.CallError>) =>
  Effect.gen(function* () {
    const calls = yield* ServerCalls.make()
    const handler = connectNodeAdapter({
      routes: (router) =>
        router.service(InvoiceService, {
          get: (_, context) => calls.unary(context, effect),
          watch: (_, context) =>
            calls.watch(context, Stream.concat(Stream.succeed({ cursor: "first" }), Stream.fromEffect(effect)))
        })
    })
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
    return {
      Connect: createConnectTransport({ baseUrl: http1, httpVersion: "1.1" }),
      gRPC: createGrpcTransport({ baseUrl: http2 }),
      "gRPC-Web": createGrpcWebTransport({ baseUrl: http1, httpVersion: "1.1" })
    } satisfies Record<string, Transport>
  })

const failureOf = (call: () => Promise<unknown>): Effect.Effect<ConnectError> =>
  Effect.promise(() =>
    call().then(
      () => assert.fail("it succeeded"),
      (error: unknown) => ConnectError.from(error)
    )
  )

const watchFailure = (transport: Transport) => {
  const received: Array<string> = []
  return Effect.map(
    failureOf(async () => {
      for await (const { cursor } of createClient(InvoiceService, transport).watch({})) received.push(cursor)
    }),
    (error) => ({ error, received })
  )
}

describe("the table of errors", () => {
  it.live.each(Object.entries(table))("%s has its code in every protocol, and no cause", ([, [error, code]]) =>
    Effect.gen(function* () {
      for (const [protocol, transport] of Object.entries(yield* failing(Effect.fail(error)))) {
        const unary = yield* failureOf(() => createClient(InvoiceService, transport).get({ id: "5" }))
        const stream = yield* watchFailure(transport)
        assert.deepStrictEqual(stream.received, ["first"], protocol)
        for (const failure of [unary, stream.error]) {
          assert.strictEqual(Code[failure.code], Code[code], protocol)
          assert.strictEqual(failure.rawMessage, error.message, protocol)
          assert.notInclude(JSON.stringify([failure, [...failure.metadata]]), "hunter2")
          const detailed = Errors.fromConnect(failure)
          if (detailed !== undefined) {
            assert.deepStrictEqual(detailed as unknown, error as unknown)
          }
        }
      }
    })
  )

  it.live.each(["unavailable", "retryable", "permanent"] as const)("keeps whose fault it is: %s", (kind) =>
    Effect.gen(function* () {
      for (const [protocol, transport] of Object.entries(
        yield* failing(Effect.fail(new StoreUnavailable({ kind, cause: secret })))
      )) {
        const failure = yield* failureOf(() => createClient(InvoiceService, transport).get({ id: "5" }))
        assert.strictEqual(Errors.storeUnavailable(failure).kind, kind, protocol)
      }
    })
  )

  it("blames no request for what is between the programs", () => {
    const kindOf = (code: Code, isWireError: boolean) => {
      const error = new ConnectError("", code)
      error.isWireError = isWireError
      return Errors.storeUnavailable(error).kind
    }
    for (const code of [
      Code.Unavailable,
      Code.DeadlineExceeded,
      Code.Aborted,
      Code.Canceled,
      Code.Unimplemented,
      Code.Unauthenticated,
      Code.PermissionDenied
    ]) {
      assert.deepStrictEqual([kindOf(code, true), kindOf(code, false)], ["unavailable", "unavailable"], Code[code])
    }
    // overloaded; an answer that is too large
    assert.deepStrictEqual(
      [kindOf(Code.ResourceExhausted, true), kindOf(Code.ResourceExhausted, false)],
      ["unavailable", "retryable"]
    )
    // refused by the peer; not understood here
    assert.deepStrictEqual([kindOf(Code.Internal, true), kindOf(Code.Internal, false)], ["permanent", "retryable"])
    assert.strictEqual(kindOf(Code.InvalidArgument, true), "permanent")
    assert.strictEqual(kindOf(Code.Unknown, false), "unavailable")
  })

  it.live("gives faults to clients that know google.rpc only", () =>
    Effect.gen(function* () {
      const { gRPC } = yield* failing(Effect.fail(table.InvalidInvoice[0]))
      const failure = yield* failureOf(() => createClient(InvoiceService, gRPC).get({ id: "5" }))
      assert.deepStrictEqual(
        failure
          .findDetails(BadRequestSchema)[0]
          ?.fieldViolations.map(({ description, field, reason }) => [field, description, reason]),
        [
          ["invoice.items[0].unit_price", "has…", "INV_SCALE"],
          ["", "is żółć", "INV_DATE"]
        ]
      )
    })
  )

  it.live("sends as many faults as common clients take in a trailer, and says how many more there are", () =>
    Effect.gen(function* () {
      const violations = Array.from({ length: 100 }, (_, index) => ({
        code: "INV-CURRENCY",
        severity: "error" as const,
        path: `/invoice/items/${index}/description`,
        message: "is not a currency",
        expected: "ISO 4217 alphabetic code, such as USD",
        actual: "ż".repeat(64)
      }))
      const { gRPC } = yield* failing(Effect.fail(new InvalidInvoice({ kind: "meaning", violations })))
      const failure = yield* failureOf(() => createClient(InvoiceService, gRPC).get({ id: "5" }))
      const bytes = failure.metadata.get("grpc-status-details-bin")?.length ?? 0
      assert.isAbove(bytes, 2_000)
      assert.isAtMost(bytes, 4_096)
      assert.isAtMost(encodeURI(failure.rawMessage).length, 512)
      assert.match(failure.rawMessage, /; and 97 more$/u)
      const told = failure.findDetails(BadRequestSchema)[0]?.fieldViolations.length ?? 0
      assert.isAbove(told, 3)
      assert.strictEqual(Errors.fromConnect(failure)?._tag, "InvalidInvoice")
    })
  )

  it.live("shows nothing of a defect but an id that is in the log", () => {
    const logged: Array<string> = []
    const logger = Logger.make((options) => logged.push(Logger.formatJson.log(options)))
    return Effect.gen(function* () {
      const defects = [
        Effect.die(secret),
        Effect.fail(new StoreUnavailable({ kind: "permanent", cause: secret })),
        Effect.sync((): never => {
          throw secret
        })
      ]
      for (const defect of defects) {
        for (const transport of Object.values(yield* failing(defect))) {
          const unary = yield* failureOf(() => createClient(InvoiceService, transport).get({ id: "5" }))
          const { error: stream } = yield* watchFailure(transport)
          for (const failure of [unary, stream]) {
            assert.strictEqual(failure.code, Code.Internal)
            const id = /^something went wrong on our side: urn:uuid:([0-9a-f-]{36})$/u.exec(failure.rawMessage)?.[1]
            assert.isDefined(id, failure.rawMessage)
            assert.deepStrictEqual(failure.details, [])
            assert.isTrue(logged.some((line) => line.includes(id ?? "") && line.includes("hunter2")))
          }
        }
      }
    }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "Info"))
  })
})
