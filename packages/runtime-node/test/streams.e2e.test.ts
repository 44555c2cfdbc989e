import { createClient } from "@connectrpc/connect"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import { InvoiceClient } from "@invoice/adapters/connect"
import { InvoiceService } from "@invoice/adapters/connect/gen/invoice/v1/invoice_service_pb"
import { grpcTransport } from "@invoice/adapters/connect/node"
import { Invoices } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Fiber, Option, Redacted, Stream } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, type Running, start } from "./Process.ts"

const started: Array<Running> = []

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop("SIGKILL")))
})

const run = async (env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start("api", env)
  started.push(running)
  return running
}

describe("a watch", () => {
  it.live("survives stops and kills of the server without loss or repeat", () =>
    Effect.gen(function* () {
      const database = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      const first = yield* Effect.promise(() => run({ DATABASE_URL: Redacted.value(database) }))
      const addresses = {
        DATABASE_URL: Redacted.value(database),
        HTTP_ADDRESS: new URL(first.url("api")).host,
        GRPC_PORT: new URL(first.url("grpc")).port
      }
      let server = first
      const transport = yield* grpcTransport({ baseUrl: first.url("grpc") })
      const seen: Array<string> = []
      const sent: Array<string> = []
      let done = false
      const { watch } = InvoiceClient.make(transport)
      const watching = yield* watch("beginning").pipe(
        Stream.takeUntil(({ change }) => {
          if (Option.isSome(change)) seen.push(change.value.id)
          return done && seen.length >= sent.length
        }),
        Stream.runDrain,
        Effect.forkChild
      )
      for (const signal of ["SIGTERM", "SIGKILL", "SIGTERM", "SIGKILL"] as const) {
        for (let count = 0; count < 200; count += 20) {
          yield* Effect.promise(() =>
            Promise.all(
              Array.from({ length: 20 }, async () => {
                const document = Generators.document()
                assert.strictEqual((await create(server.url("api"), document)).status, 200)
                sent.push(String(document["id"]))
              })
            )
          )
        }
        yield* Effect.promise(() => server.stop(signal))
        server = yield* Effect.promise(() => run(addresses))
      }
      done = true
      const last = Generators.document()
      sent.push(String(last["id"]))
      assert.strictEqual((yield* Effect.promise(() => create(server.url("api"), last))).status, 200)
      yield* Effect.timeout(Fiber.join(watching), "30 seconds")
      assert.strictEqual(seen.length, new Set(seen).size)
      assert.deepStrictEqual([...seen].sort(), [...sent].sort())
    })
  )
})

/** Of a program's own metrics, in bytes. */
const residentMemory = async (running: Running): Promise<number> => {
  const page = await (await fetch(`${running.url("metrics")}/metrics`)).text()
  return Number(/^process_resident_memory_bytes (\S+)/mu.exec(page)?.[1])
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`

describe("an import", () => {
  it.live("of 100,000 invoices runs in bounded memory and tells the outcome of each line", () =>
    Effect.gen(function* () {
      const count = 100_000
      const database = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      const server = yield* Effect.promise(() => run({ DATABASE_URL: Redacted.value(database) }))
      const transport = yield* grpcTransport({ baseUrl: server.url("grpc") })
      const client = createClient(InvoiceService, transport)
      const item = { description: "Hosting", quantity: "1", unitPrice: "50", total: "50" }
      const customerId = crypto.randomUUID()
      let sent = 0
      async function* requests() {
        while (sent < count) {
          sent++
          // every thousandth is faulty
          const amount = sent % 1_000 === 0 ? "10.555" : "50.00"
          yield { invoice: { id: crypto.randomUUID(), customerId, amount, currency: "USD", items: [item] } }
        }
      }
      const samples: Array<number> = []
      let ahead = 0
      let failures = 0
      let line = 0
      yield* Effect.promise(async () => {
        for await (const response of client.import(requests())) {
          line++
          assert.strictEqual(response.line, BigInt(line))
          ahead = Math.max(ahead, sent - line)
          if (response.outcome.case === "failure") {
            failures++
            assert.strictEqual(response.outcome.value.violations[0]?.code, "INV-SCALE")
            assert.strictEqual(line % 1_000, 0)
          } else {
            assert.strictEqual(response.outcome.case, "created")
          }
          if (line % 10_000 === 0) samples.push(await residentMemory(server))
        }
      })
      assert.strictEqual(line, count)
      assert.strictEqual(failures, count / 1_000)
      process.stdout.write(
        `import of ${count}: RSS of the server after every 10,000: ${samples.map(mebibytes).join(", ")}; ` +
          `at most ${ahead} requests ahead of their answers\n`
      )
      // a tenth of all invoices held back would be more than this
      assert.isBelow(ahead, 10_000)
      assert.isBelow(Math.max(...samples) - Math.min(...samples), 150 * 2 ** 20)
    })
  )
})

describe("the use cases over fetch, as in a browser", () => {
  it.live("work as they do at home", () =>
    Effect.gen(function* () {
      const database = yield* Effect.promise(() => freshDatabase(inject("postgresUrl")))
      const server = yield* Effect.promise(() => run({ DATABASE_URL: Redacted.value(database) }))
      yield* Effect.gen(function* () {
        const invoices = yield* Invoices
        const document = Generators.document({ amount: "1050.01" })
        assert.strictEqual((yield* invoices.create(document)).outcome, "Created")
        assert.strictEqual((yield* invoices.create(document)).outcome, "Unchanged")
        assert.strictEqual((yield* invoices.get(document["id"])).status, "Pending")
        assert.strictEqual((yield* Effect.flip(invoices.get(crypto.randomUUID())))._tag, "InvoiceNotFound")
        assert.strictEqual((yield* Effect.flip(invoices.create({ ...document, notes: "x" })))._tag, "InvoiceConflict")
        assert.strictEqual((yield* Effect.flip(invoices.create({})))._tag, "InvalidInvoice")
        const verdict = yield* invoices.validate(document)
        assert.deepStrictEqual(
          verdict.violations.map(({ code }) => code),
          ["BR-CO-10"]
        )
        assert.strictEqual((yield* invoices.list({ limit: 10 })).items.length, 1)
        assert.strictEqual((yield* invoices.history(document["id"])).length, 1)
        const outcomes = yield* Stream.runCollect(
          invoices.importAll(Stream.make(Generators.document(), { id: 1 }, document))
        )
        assert.deepStrictEqual(
          outcomes.map(({ line, result }) => [
            line,
            result._tag === "Success" ? result.success.outcome : result.failure._tag
          ]),
          [
            [1, "Created"],
            [2, "InvalidInvoice"],
            [3, "Unchanged"]
          ]
        )
        const changes = yield* Stream.runCollect(Stream.take(invoices.watch("beginning"), 2))
        assert.deepStrictEqual(
          changes.map(({ change }) => Option.map(change, ({ status }) => status)),
          [Option.some("Pending" as const), Option.some("Pending" as const)]
        )
      }).pipe(Effect.provide(InvoiceClient.layerFetch({ baseUrl: server.url("api") })))
    })
  )
})
