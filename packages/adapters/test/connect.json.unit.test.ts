/** What JSON clients of `InvoiceService` are told about fields that its messages don't have. */
import { createServer as createHttp1 } from "node:http"
import { createServer as createHttp2 } from "node:http2"
import type { AddressInfo } from "node:net"
import type { JsonWriteOptions } from "@bufbuild/protobuf"
import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { connectNodeAdapter, createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node"
import { assert, describe, it } from "@effect/vitest"
import { InvalidInvoice, Invoices, Profile, ProfileValidator, type Violation } from "@invoice/core"
import { Effect, Layer } from "effect"
import * as Errors from "../src/connect/Errors.ts"
import { ErrorDetailSchema } from "../src/connect/gen/invoice/v1/errors_pb.ts"
import { InvoiceService } from "../src/connect/gen/invoice/v1/invoice_service_pb.ts"
import { Server } from "../src/connect/index.ts"
import { Memory } from "../src/memory/index.ts"

const listening = (server: ReturnType<typeof createHttp1> | ReturnType<typeof createHttp2>) =>
  Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
      )
    }),
    () => Effect.sync(() => void server.close())
  )

const serve = Effect.gen(function* () {
  const handler = connectNodeAdapter({ routes: yield* Server.publicRoutes({ ready: Effect.void }) })
  return { http1: yield* listening(createHttp1(handler)), http2: yield* listening(createHttp2(handler)) }
}).pipe(Effect.provide(Layer.provide(Invoices.layer, [Memory.layer, ProfileValidator.layer(Profile.core)])))

const item = { description: "x", quantity: "1", unitPrice: "5", total: "5" }

const invoice = {
  id: "53150a25-02f1-540a-99e7-48e267fd6d13",
  customerId: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
  amount: "5",
  currency: "EUR",
  dueDate: "2025-06-30T00:00:00Z",
  items: [item]
}

/** An option of connect's that its types don't show. */
interface Planting {
  readonly textEncoder: { readonly encode: (text?: string) => Uint8Array }
}

interface Answer {
  readonly status: number
  readonly code: string | undefined
  readonly faults: ReadonlyArray<string>
}

const fault = ({ code, message, path }: Violation.Violation): string => `${code} ${path} ${message}`

/** An error as Connect writes it in JSON; empty for a success. */
interface WireError {
  readonly code?: string
  readonly message?: string
  readonly details?: ReadonlyArray<{ readonly type: string; readonly value: string }>
}

/** The detail that a Connect client in plain HTTP and JSON gets. */
const post = (url: string, method: string, body: string) =>
  Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(`${url}/invoice.v1.InvoiceService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body
    })
    const { code, details = [], message }: WireError = JSON.parse(await response.text())
    const error = new ConnectError(message ?? "", Code.Unknown)
    for (const { type, value } of details) error.details.push({ type, value: Buffer.from(value, "base64") })
    const detailed = Errors.fromConnect(error)
    return {
      status: response.status,
      code,
      faults: detailed instanceof InvalidInvoice ? detailed.violations.map(fault) : []
    }
  })

describe("a JSON client of InvoiceService", () => {
  it.live.each([
    [
      "Create",
      { invoice: { ...invoice, custmerId: "x" } },
      ["/invoice/custmerId unknown field, did you mean customerId?"]
    ],
    [
      "Create",
      { invoice: { ...invoice, custmer_id: "x" } },
      ["/invoice/custmer_id unknown field, did you mean customer_id?"]
    ],
    [
      "Validate",
      { invoice: { ...invoice, items: [item, { ...item, qantity: "1", x: 1 }] }, invoce: 1 },
      [
        "/invoice/items/1/qantity unknown field, did you mean quantity?",
        "/invoice/items/1/x unknown field",
        "/invoce unknown field, did you mean invoice?"
      ]
    ],
    ["Get", { ID: invoice.id }, ["/ID unknown field, did you mean id?"]],
    ["History", { id: invoice.id, "a/b": null }, ["/a~1b unknown field"]],
    ["List", { pageSize: 3 }, ["/pageSize unknown field"]]
  ] as const)("is told of every field that %s doesn't know: %o", ([method, body, faults]) =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      assert.deepStrictEqual(yield* post(http1, method, JSON.stringify(body)), {
        status: 400,
        code: "invalid_argument",
        faults: faults.map((text) => `INV-FIELD ${text}`)
      })
    })
  )

  it.live("is served when it sends what the messages have, by either name of a field", () =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      const { customerId, ...rest } = invoice
      for (const sent of [invoice, { ...rest, customer_id: customerId }]) {
        const answer = yield* post(http1, "Create", JSON.stringify({ invoice: sent }))
        assert.deepStrictEqual([answer.status, answer.code], [200, undefined])
      }
      const list = yield* post(
        http1,
        "List",
        JSON.stringify({ status: "INVOICE_STATUS_PENDING", customer_id: customerId })
      )
      assert.strictEqual(list.status, 200)
    })
  )

  it.live("hears of a limited number of them, in bounded time", () =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`f${index}`, index]))
      const lines = Array.from({ length: 300 }, () => ({ ...item, a: 1, b: 2 }))
      const answer = yield* post(http1, "Create", JSON.stringify({ ...many, invoice: { ...invoice, items: lines } }))
      assert.strictEqual(answer.code, "invalid_argument")
      assert.isAtMost(answer.faults.length, 100)
      assert.isAbove(answer.faults.length, 10)
    })
  )

  it.live("hears what is wrong with a text that is no JSON, as before", () =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      for (const body of ["{", "[]", '"x"', "null", '{"invoice": []}', '{"invoice": {"items": {}}}']) {
        const answer = yield* post(http1, "Create", body)
        assert.deepStrictEqual(answer, { status: 400, code: "invalid_argument", faults: [] }, body)
      }
    })
  )

  it.live("hears it over every protocol that carries JSON, a stream's message included", () =>
    Effect.gen(function* () {
      const { http1, http2 } = yield* serve
      // this client's own messages have no unknown fields, so one is planted in the text that it sends
      const jsonOptions: Partial<JsonWriteOptions> & Planting = {
        textEncoder: {
          encode: (text = "") => new TextEncoder().encode(text.replace('"amount"', '"amuont":"1","amount"'))
        }
      }
      const document = { invoice: { ...invoice, dueDate: undefined } }
      const transports = [
        createConnectTransport({ baseUrl: http1, httpVersion: "1.1", useBinaryFormat: false, jsonOptions }),
        createGrpcTransport({ baseUrl: http2, useBinaryFormat: false, jsonOptions }),
        createConnectTransport({ baseUrl: http2, httpVersion: "2", useBinaryFormat: false, jsonOptions })
      ]
      const failures = yield* Effect.promise(async () => {
        const failed = async (call: () => Promise<unknown>): Promise<ConnectError> =>
          call().then(() => assert.fail("it succeeded"), ConnectError.from)
        const clients = transports.map((transport) => createClient(InvoiceService, transport))
        const streamed = clients.slice(1).map((client) =>
          failed(async () => {
            const requests = (async function* () {
              yield document
            })()
            for await (const { line } of client.import(requests)) assert.fail(`line ${line}`)
          })
        )
        return Promise.all([...clients.map((client) => failed(() => client.validate(document))), ...streamed])
      })
      for (const failure of failures) {
        assert.strictEqual(Code[failure.code], "InvalidArgument")
        assert.strictEqual(failure.findDetails(ErrorDetailSchema).length, 1)
        assert.strictEqual(failure.rawMessage, "/invoice/amuont: unknown field, did you mean amount?")
      }
    })
  )

  it.live("hears of a line of an import that can't be read, not that it has canceled the call", () =>
    Effect.gen(function* () {
      const { http2 } = yield* serve
      let sent = 0
      const jsonOptions: Partial<JsonWriteOptions> & Planting = {
        textEncoder: { encode: (text = "") => new TextEncoder().encode(++sent === 3 ? "{" : text) }
      }
      const client = createClient(
        InvoiceService,
        createGrpcTransport({ baseUrl: http2, useBinaryFormat: false, jsonOptions })
      )
      const failure = yield* Effect.promise(async () => {
        const requests = (async function* () {
          for (let count = 0; count < 4; count++) yield { invoice: { id: invoice.id } }
        })()
        try {
          for await (const { line } of client.import(requests)) assert.isBelow(Number(line), 3)
          return assert.fail("it succeeded")
        } catch (error) {
          return ConnectError.from(error)
        }
      })
      assert.strictEqual(Code[failure.code], "InvalidArgument")
    })
  )

  it.live("may send fields of a newer schema in binary, which a schema's evolution needs", () =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      // field 100, wire type 0, value 1
      const unknown = [0xa0, 0x06, 0x01]
      const response = yield* Effect.promise(() =>
        fetch(`${http1}/invoice.v1.InvoiceService/List`, {
          method: "POST",
          headers: { "content-type": "application/proto" },
          body: new Uint8Array(unknown)
        })
      )
      assert.strictEqual(response.status, 200)
    })
  )

  it.live("hears of each of its fields when it forgot what goes around them", () =>
    Effect.gen(function* () {
      const { http1 } = yield* serve
      const answer = yield* post(http1, "Validate", JSON.stringify(invoice))
      assert.deepStrictEqual(
        answer.faults,
        Object.keys(invoice).map((name) => `INV-FIELD /${name} unknown field`)
      )
    })
  )
})
