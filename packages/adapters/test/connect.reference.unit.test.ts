import { type Client, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect"
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, Invoices, type Outbox, Profile, ProfileValidator } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Result } from "effect"
import * as Errors from "../src/connect/Errors.ts"
import { InvoiceStorage as ApiStorage } from "../src/connect/gen/protocol/api_service/storage/storage_pb.ts"
import { InvoiceStatus } from "../src/connect/gen/protocol/types/types_pb.ts"
import { InvoiceStorage as ValidationStorage } from "../src/connect/gen/protocol/validation/storage/storage_pb.ts"
import { Server } from "../src/connect/index.ts"
import * as ReferenceMessages from "../src/connect/ReferenceMessages.ts"
import { Memory } from "../src/memory/index.ts"

const profile = ProfileValidator.layer(Profile.core)
const layer = Layer.provideMerge(Invoices.layer, Layer.merge(Memory.layer, profile))

const bytes = (uuid: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(uuid.replaceAll("-", ""), "hex"))

/** As the reference's api would upload it: 1,050.00 USD in two lines. */
const upload = (id: string = crypto.randomUUID(), amount = 1_050_000n) => ({
  id: { value: bytes(id) },
  customerId: { value: bytes(crypto.randomUUID()) },
  amount,
  currency: "USD",
  dueDate: { seconds: 1_751_241_600n, nanos: 0 },
  items: [
    { description: "Website Design", quantity: 1, unitPrice: 1_000_000n, total: 1_000_000n },
    { description: "Hosting (1 month)", quantity: 1, unitPrice: 50_000n, total: 50_000n }
  ],
  notes: "Payment due within 30 days."
})

interface Clients {
  readonly api: Client<typeof ApiStorage>
  readonly validation: Client<typeof ValidationStorage>
}

const withClients = <A, E>(
  use: (clients: Clients) => Effect.Effect<A, E, InvoiceStore | Invoices | Outbox>
): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const transport = createRouterTransport(yield* Server.storageRoutes({ ready: Effect.void }))
    return yield* use({
      api: createClient(ApiStorage, transport),
      validation: createClient(ValidationStorage, transport)
    })
  }).pipe(Effect.provide(layer))

const failure = (call: Promise<unknown>): Effect.Effect<ConnectError> =>
  Effect.promise(() =>
    call.then(
      () => assert.fail("it succeeded"),
      (error: unknown) => ConnectError.from(error)
    )
  )

describe("the reference's storage services", () => {
  it.effect("take an upload and give it back, thousandth for thousandth, to both of its programs", () =>
    withClients(({ api, validation }) =>
      Effect.gen(function* () {
        const id = crypto.randomUUID()
        const invoice = upload(id)
        yield* Effect.promise(() => api.upload({ invoice }))
        yield* Effect.promise(() => api.upload({ invoice }))
        for (const client of [api, validation]) {
          const answer = yield* Effect.promise(async () => await client.get({ id: { value: bytes(id) } }))
          assert.strictEqual(answer.status, InvoiceStatus.Pending)
          assert.deepStrictEqual(answer.invoice?.id?.value, invoice.id.value)
          assert.deepStrictEqual(answer.invoice?.customerId?.value, invoice.customerId.value)
          assert.strictEqual(answer.invoice?.amount, 1_050_000n)
          assert.strictEqual(answer.invoice?.dueDate?.seconds, invoice.dueDate.seconds)
          assert.isUndefined(answer.invoice?.createdAt)
          assert.deepStrictEqual(
            answer.invoice?.items.map(({ description, quantity, total, unitPrice }) => ({
              description,
              quantity,
              unitPrice,
              total
            })),
            invoice.items
          )
          assert.strictEqual(answer.invoice?.notes, invoice.notes)
        }
      })
    )
  )

  it.effect("refuse what is wrong with a code and every fault, and store nothing", () =>
    withClients(({ api }) =>
      Effect.gen(function* () {
        const id = crypto.randomUUID()
        const wrong = yield* failure(api.upload({ invoice: { ...upload(id, 10_555n), currency: "USD" } }))
        assert.strictEqual(wrong.code, Code.InvalidArgument)
        const detail = Errors.fromConnect(wrong)
        assert.deepStrictEqual(
          detail?._tag === "InvalidInvoice" && detail.violations.map(({ code, path }) => [code, path]),
          [["INV-SCALE", "/invoice/amount"]]
        )
        for (const broken of [
          undefined,
          { ...upload(), id: undefined },
          { ...upload(), id: { value: new Uint8Array(15) } },
          { ...upload(), currency: "XXX!" },
          { ...upload(), dueDate: { seconds: 253_402_300_800n, nanos: 0 } }
        ]) {
          assert.strictEqual((yield* failure(api.upload({ invoice: broken } as never))).code, Code.InvalidArgument)
        }
        assert.strictEqual((yield* failure(api.get({ id: { value: bytes(id) } }))).code, Code.NotFound)
        assert.strictEqual((yield* failure(api.get({}))).code, Code.InvalidArgument)
        assert.deepStrictEqual((yield* (yield* InvoiceStore).list({ limit: 10 })).items, [])
        yield* Effect.promise(() => api.upload({ invoice: upload(id) }))
        assert.strictEqual((yield* failure(api.upload({ invoice: upload(id, 1_050_010n) }))).code, Code.AlreadyExists)
      })
    )
  )

  it.effect("say FAILED_PRECONDITION, and which value, for what thousandths can't hold, and alter nothing", () =>
    withClients(({ api, validation }) =>
      Effect.gen(function* () {
        const invoices = yield* Invoices
        const item = { description: "x", quantity: "1", unit_price: "1", total: "1" }
        for (const [document, path, value] of [
          [{ items: [{ ...item, unit_price: "0.0001" }] }, "/items/0/unit_price", "0.0001"],
          [{ items: [item, { ...item, quantity: "1.5" }] }, "/items/1/quantity", "1.5"],
          [{ items: [{ ...item, quantity: "2147483648" }] }, "/items/0/quantity", "2147483648"],
          [{ amount: "9223372036854775.81" }, "/amount", "9223372036854775.81"],
          [{ amount: "9007199254740993.0001", currency: "CLF" }, "/amount", "9007199254740993.0001"]
        ] as const) {
          const { stored } = yield* invoices.create(Generators.document({ ...document }))
          for (const client of [api, validation]) {
            const error = yield* failure(client.get({ id: { value: bytes(stored.invoice.id) } }))
            assert.strictEqual(error.code, Code.FailedPrecondition)
            assert.deepStrictEqual(
              Errors.fromConnect(error) as unknown,
              new Errors.AmountNotExact({ path, value }) as unknown
            )
          }
          assert.deepStrictEqual(yield* invoices.get(stored.invoice.id), stored)
        }
        // the largest that 64 bits of thousandths hold with cents
        const { stored } = yield* invoices.create(Generators.document({ amount: "9223372036854775.80" }))
        const largest = yield* Effect.promise(() => api.get({ id: { value: bytes(stored.invoice.id) } }))
        assert.strictEqual(largest.invoice?.amount, 9_223_372_036_854_775_800n)
      })
    )
  )

  it.effect("set a verdict once: again is fine, another one is FAILED_PRECONDITION, and a rejection has a reason", () =>
    withClients(({ api, validation }) =>
      Effect.gen(function* () {
        const store = yield* InvoiceStore
        const invoices = yield* Invoices
        for (const [set, other, status] of [
          [validation.setApproved, validation.setRejected, "Approved"],
          [validation.setRejected, validation.setApproved, "Rejected"]
        ] as const) {
          const uuid = crypto.randomUUID()
          const id = { value: bytes(uuid) }
          assert.strictEqual((yield* failure(set({ id }))).code, Code.NotFound)
          yield* Effect.promise(() => api.upload({ invoice: upload(uuid) }))
          yield* Effect.promise(() => set({ id }))
          yield* Effect.promise(() => set({ id }))
          const error = yield* failure(other({ id }))
          assert.strictEqual(error.code, Code.FailedPrecondition)
          assert.deepStrictEqual(
            Errors.fromConnect(error) as unknown,
            new Errors.InvoiceAlreadyFinal({ id: uuid, status }) as unknown
          )
          const stored = yield* invoices.get(uuid)
          assert.strictEqual(stored.status, status)
          assert.strictEqual(stored.version, 2)
          assert.strictEqual(stored.violations.length, status === "Rejected" ? 1 : 0)
          assert.strictEqual((yield* store.history(stored.invoice.id)).length, 2)
        }
      })
    )
  )

  it("read back every invoice that the messages can hold", () => {
    for (let count = 0; count < 200; count++) {
      const invoice = Generators.invoice({
        amount: `${count * 7919}.${String(count % 100).padStart(2, "0")}`,
        due_date: `2025-06-30T00:00:00.${String(count).padStart(9, "0")}Z`
      })
      const message = Result.getOrThrow(ReferenceMessages.fromInvoice(invoice))
      assert.strictEqual(message.amount, (invoice.amount.minor * 1_000n) / 100n)
      assert.strictEqual(ReferenceMessages.uuidText(message.id as never), invoice.id)
    }
  })
})
