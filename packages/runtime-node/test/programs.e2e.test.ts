import { randomUUID } from "node:crypto"
import { afterAll, assert, describe, inject, it } from "@effect/vitest"
import { KafkaConsumer } from "@invoice/adapters/kafka"
import { MessageConsumer } from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Redacted, Stream } from "effect"
import { freshDatabase } from "../../../test/infra/database.ts"
import { create, decided, post, type Running, start, until } from "./Process.ts"

const started: Array<Running> = []

const run = async (program: string, env: Readonly<Record<string, string>>): Promise<Running> => {
  const running = await start(program, env)
  started.push(running)
  return running
}

afterAll(async () => {
  await Promise.all(started.map((running) => running.stop()))
})

/** The first message of each of some invoices on a topic, until there are as many as wanted: delivery is at least once. */
const messagesOn = (topic: string, ids: ReadonlySet<string>, count: number): Promise<ReadonlyArray<Message>> =>
  Effect.runPromise(
    Effect.flatMap(MessageConsumer, (consumer) => {
      const seen = new Set<string>()
      return consumer.subscribe({ topic, group: `test-${randomUUID()}` }).pipe(
        Stream.mapEffect((batch) => Effect.as(batch.acknowledge, batch.messages)),
        Stream.flatMap(Stream.fromIterable),
        Stream.filter(({ key }) => {
          const isNew = key !== undefined && ids.has(key) && !seen.has(key)
          if (isNew) {
            seen.add(key)
          }
          return isNew
        }),
        Stream.take(count),
        Stream.runCollect
      )
    }).pipe(
      Effect.timeout("60 seconds"),
      Effect.provide(KafkaConsumer.layer({ brokers: inject("kafkaBrokers").split(",") }))
    )
  )

const sample = async (running: Running, pattern: RegExp): Promise<number> => {
  const page = await (await fetch(`${running.url("metrics")}/metrics`)).text()
  return [...page.matchAll(new RegExp(pattern, "gmu"))].reduce((sum, [, value]) => sum + Number(value), 0)
}

/** api, relay and validator, each as a process on Postgres itself. */
const direct = async () => {
  const env = {
    POSTGRES_CONNECTION_STRING: Redacted.value(await freshDatabase(inject("postgresUrl"))),
    KAFKA_ADDRESS: inject("kafkaBrokers")
  }
  return await Promise.all([run("api", env), run("relay", env), run("validator", env)])
}

/** The reference's topology: only the storage program knows Postgres. */
const throughStorage = async () => {
  const storage = await run("storage", {
    DATABASE_URL: Redacted.value(await freshDatabase(inject("postgresUrl")))
  })
  const env = { STORAGE_ADDRESS: new URL(storage.url("grpc")).host, KAFKA_ADDRESS: inject("kafkaBrokers") }
  return await Promise.all([run("api", env), run("relay", env), run("validator", env)])
}

describe.each([
  ["api, relay and validator as three processes on Postgres and Kafka", direct],
  ["api, relay and validator as three processes over a storage process", throughStorage]
])("%s", (_, programs) => {
  it("bring 500 invoices to 500 verdicts, with the right messages and the right counts", async () => {
    const [api, relay, validator] = await programs()
    const url = api.url("api")
    // every fifth is wrong by a cent
    const documents = Array.from({ length: 500 }, (_, index) =>
      Generators.document(index % 5 === 0 ? { amount: "1050.01" } : {})
    )
    for (let from = 0; from < documents.length; from += 50) {
      const answers = await Promise.all(documents.slice(from, from + 50).map((document) => create(url, document)))
      assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [200])
    }
    const statuses = await Promise.all(documents.map(async ({ id }) => (await decided(url, id))["status"]))
    assert.strictEqual(statuses.filter((status) => status === "Rejected").length, 100)
    assert.strictEqual(statuses.filter((status) => status === "Approved").length, 400)

    const ids = new Set(documents.map(({ id }) => String(id)))
    const expected = { new_invoice: 500, invoice_approved: 400, invoice_rejected: 100 }
    const decoder = new TextDecoder()
    for (const [topic, count] of Object.entries(expected)) {
      const messages = await messagesOn(topic, ids, count)
      assert.strictEqual(new Set(messages.map(({ key }) => key)).size, count)
      for (const { headers, key, value } of messages) {
        const status = { new_invoice: "Pending", invoice_approved: "Approved", invoice_rejected: "Rejected" }[topic]
        const version = topic === "new_invoice" ? 1 : 2
        const { violations, ...body } = JSON.parse(decoder.decode(value))
        const expectedBody = topic === "new_invoice" ? { id: key } : { id: key, status, version }
        assert.strictEqual(JSON.stringify(body), JSON.stringify(expectedBody))
        if (topic === "new_invoice") assert.strictEqual(decoder.decode(value), `{"id":"${key}"}`)
        assert.strictEqual(headers["ce_specversion"], "1.0")
        assert.strictEqual(headers["ce_subject"], key)
        assert.strictEqual(headers["ce_source"], "/invoice")
        assert.match(headers["ce_id"] ?? "", /^[0-9a-f-]{36}$/u)
        assert.match(headers["ce_time"] ?? "", /^\d{4}-.*Z$/u)
        assert.strictEqual(headers["ce_type"], topic === "new_invoice" ? "invoice.created" : topic.replace("_", "."))
        assert.strictEqual(headers["ce_version"], String(version))
        assert.strictEqual(headers["ce_status"], status)
        assert.strictEqual(violations?.[0].code, topic === "invoice_rejected" ? "BR-CO-10" : undefined)
      }
    }

    assert.strictEqual(await sample(api, /^http_requests_total\{.*create.*status="200"\} (\d+)/u), 500)
    assert.strictEqual(await sample(api, /^http_request_duration_seconds_count\{.*create.*status="200"\} (\d+)/u), 500)
    await until(
      () => sample(relay, /^kafka_total_produce_messages\{.*\} (\d+)/u),
      (count) => count >= 1_000
    )
    assert.isAbove(await sample(relay, /^kafka_total_produce_bytes\{.*\} (\d+)/u), 1_000 * 40)
    assert.strictEqual(await sample(validator, /^total_handled_invoices\{status="Approved"\} (\d+)/u), 400)
    assert.strictEqual(await sample(validator, /^total_handled_invoices\{status="Rejected"\} (\d+)/u), 100)
    await until(
      () => sample(validator, /^kafka_total_consumed_messages\{.*topic="new_invoice".*\} (\d+)/u),
      (count) => count >= 500
    )
    // the defects 5 and 8 end here: a verdict is final, and nothing stays pending
    const again = await post(`${url}/api/invoice/create`, JSON.stringify({ invoice: documents[0] }))
    assert.strictEqual(again.status, 200)
    assert.strictEqual((await decided(url, documents[0]?.["id"]))["status"], "Rejected")
    // storage last, as whoever runs them would
    const codes: Array<number | string> = []
    for (const running of started.splice(0).reverse()) {
      codes.push(await running.stop())
    }
    assert.deepStrictEqual([...new Set(codes)], [0])
  })
})
