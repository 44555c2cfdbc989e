/** How long a look at a topic waits for brokers that bring nothing. */
import { assert, describe, it } from "@effect/vitest"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { EachBatchPayload, KafkaMessage } from "kafkajs"
import { KafkaReader } from "../src/kafka/index.ts"
import { ConsumersModel } from "./ConsumerModel.ts"

/** Promises take their turns. */
const turns = Effect.promise(async () => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
})

const later = (seconds: number) =>
  Effect.forEach(
    Array.from({ length: seconds }, (_, index) => index),
    () => Effect.andThen(TestClock.adjust("1 second"), turns),
    { discard: true }
  )

const reading = Effect.forkScoped(Effect.flatMap(TopicReader, ({ read }) => Effect.exit(Stream.runDrain(read("t")))))

const holding = (records: number): ConsumersModel => {
  const kafka = new ConsumersModel("t")
  const log = kafka.brokers.topics.get("t")?.partitions[0]?.records
  log?.push(...Array.from({ length: records }, (_, index) => ({ key: undefined, text: `${index}` })))
  return kafka
}

const batch = (records: number): EachBatchPayload => {
  const messages = Array.from({ length: records }, (_, index): KafkaMessage => {
    const value = Buffer.from(`${index}`)
    return { key: null, value, timestamp: "0", attributes: 0, offset: `${index}`, headers: {} }
  })
  return {
    batch: { topic: "t", partition: 0, messages, lastOffset: () => `${records - 1}` },
    heartbeat: async () => {}
    // only this much of it is used
  } as unknown as EachBatchPayload
}

describe("a look at a topic", () => {
  it.effect("fails after 30 s when the broker never answers", () => {
    const kafka = new ConsumersModel("t")
    const admin = kafka.admin()
    kafka.admin = () => ({ ...admin, connect: () => new Promise(() => {}) })
    return Effect.gen(function* () {
      const fiber = yield* reading
      yield* later(29)
      assert.isUndefined(fiber.pollUnsafe())
      yield* later(2)
      assert.include(JSON.stringify(yield* Fiber.join(fiber)), "ConsumerUnavailable")
    }).pipe(Effect.scoped, Effect.provide(KafkaReader.readerOver(kafka)))
  })

  it.effect("fails after 30 s without a message, and closes its consumer", () => {
    const kafka = holding(10)
    return Effect.gen(function* () {
      const fiber = yield* reading
      yield* later(31)
      assert.include(JSON.stringify(yield* Fiber.join(fiber)), "ConsumerUnavailable")
      assert.isTrue(kafka.consumers[0]?.disconnected)
    }).pipe(Effect.scoped, Effect.provide(KafkaReader.readerOver(kafka)))
  })

  it.effect("waits for as long as its reader takes", () => {
    const records = 5_000
    const kafka = holding(records)
    const open = Promise.withResolvers<void>()
    return Effect.gen(function* () {
      const { read } = yield* TopicReader
      const fiber = yield* read("t").pipe(
        Stream.tap(() => Effect.promise(() => open.promise)),
        Stream.runCount,
        Effect.forkScoped
      )
      yield* turns
      const delivered = kafka.consumers[0]?.deliver(batch(records))
      yield* later(100)
      assert.isUndefined(fiber.pollUnsafe())
      open.resolve()
      yield* Effect.promise(async () => delivered)
      assert.strictEqual(yield* Fiber.join(fiber), records)
    }).pipe(Effect.scoped, Effect.provide(KafkaReader.readerOver(kafka)))
  })
})
