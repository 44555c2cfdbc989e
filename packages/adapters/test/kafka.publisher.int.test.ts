/** What the publisher does when Kafka objects, on topics that differ from the pipeline's. */
import { assert, describe, it } from "@effect/vitest"
import { PublishRefused } from "@invoice/core/InvoiceError"
import type { Message } from "@invoice/core/Message"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Duration, Effect, Layer, Stream } from "effect"
import { type Admin, Kafka, logLevel } from "kafkajs"
import { inject } from "vitest"
import { ensureTopics, KafkaConsumer, KafkaPublisher } from "../src/kafka/index.ts"

const brokers = inject("kafkaBrokers").split(",")
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
const live = Layer.merge(KafkaPublisher.layer({ brokers, topics: [] }), KafkaConsumer.layer({ brokers }))

const fresh = (what: string): string => `publisher-${what}-${crypto.randomUUID()}`

const message = (topic: string, key: string | undefined, text: string, bytes = 0): Message => {
  const value = new Uint8Array(Math.max(bytes, text.length))
  new TextEncoder().encodeInto(text, value)
  return { topic, key, value, headers: {} }
}

const text = ({ value }: Message): string => new TextDecoder().decode(value.slice(0, 8)).replaceAll("\0", "")

const administer = <A>(use: (admin: Admin) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const admin = kafka.admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  })

const partitionsOf = (topic: string): Effect.Effect<number> =>
  administer(async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions.length ?? 0
  })

/** How many records were ever written to a topic. */
const endOf = (topic: string): Effect.Effect<number> =>
  administer(async (admin) => {
    const offsets = await admin.fetchTopicOffsets(topic)
    return offsets.reduce((sum, { high }) => sum + Number(high), 0)
  })

const create = (topic: string, configEntries: Array<{ name: string; value: string }>, numPartitions = 1) =>
  administer((admin) => admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }))

/** Reads a topic up to a message that is published last, to its only partition. */
const readTo = (topic: string, last: string) =>
  Effect.flatMap(MessageConsumer, (consumer) =>
    consumer.subscribe({ topic, group: fresh("group") }).pipe(
      Stream.tap((batch) => batch.acknowledge),
      Stream.flatMap((batch) => Stream.fromIterable(batch.messages)),
      Stream.map(text),
      Stream.takeUntil((value) => value === last),
      Stream.runCollect
    )
  )

const refusal = (messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => Effect.flip(publisher.publish(messages))).pipe(
    Effect.map((error) => {
      assert.instanceOf(error, PublishRefused)
      return error instanceof PublishRefused ? error.records : []
    })
  )

const publish = (messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

describe("the Kafka publisher", () => {
  it.live("names a record that is too large and sends all others, but for what is behind it of its key", () =>
    Effect.gen(function* () {
      const topic = fresh("large")
      yield* create(topic, [])
      const batch = [
        ...["0", "1", "2"].map((key) => message(topic, key, key)),
        message(topic, "large", "large", 2_000_000),
        message(topic, "large", "after"),
        message(topic, "3", "3")
      ]
      const records = yield* refusal(batch)
      assert.deepStrictEqual(
        records.map(({ index }) => index),
        [3]
      )
      assert.include(records[0]?.reason, "MESSAGE_TOO_LARGE")
      yield* publish([message(topic, "end", "end")])
      const found = yield* readTo(topic, "end")
      assert.deepStrictEqual([...new Set(found)], ["0", "1", "2", "3", "end"])
      assert.isAtMost(found.length, 9)
    }).pipe(Effect.provide(live))
  )

  it.live("finds the one record among many that a topic does not take", () =>
    Effect.gen(function* () {
      const topic = fresh("compacted")
      yield* create(topic, [{ name: "cleanup.policy", value: "compact" }])
      const records = yield* refusal(
        Array.from({ length: 100 }, (_, index) => message(topic, index === 71 ? undefined : `${index}`, `${index}`))
      )
      assert.deepStrictEqual(
        records.map(({ index }) => index),
        [71]
      )
      assert.include(records[0]?.reason, "INVALID_RECORD")
    }).pipe(Effect.provide(live))
  )

  it.live("names every record of a topic that can't be", () =>
    Effect.gen(function* () {
      const topic = fresh("fine")
      const impossible = "no spaces in topics"
      const records = yield* refusal([
        message(topic, "a", "a"),
        message(impossible, "b", "b"),
        message(topic, "c", "c"),
        message(impossible, "d", "d")
      ])
      assert.deepStrictEqual(
        records.map(({ index }) => index),
        [1, 3]
      )
    }).pipe(Effect.provide(live))
  )

  it.live(
    "names every record that is larger than its topic takes, and is soon done with the rest and with other topics",
    () =>
      Effect.gen(function* () {
        const [small, healthy] = [fresh("small"), fresh("healthy")]
        yield* create(small, [{ name: "max.message.bytes", value: "20000" }], 6)
        yield* create(healthy, [])
        const batch = [
          ...Array.from({ length: 1_000 }, (_, index) =>
            message(small, `p-${index}`, `${index}`, index % 10 === 0 ? 60_000 : 500)
          ),
          message(healthy, "k", "healthy")
        ]
        const [duration, records] = yield* Effect.timed(refusal(batch))
        const end = yield* endOf(small)
        yield* Effect.logInfo(`${end} records written of 900, in ${Duration.toMillis(duration)} ms`)
        assert.deepStrictEqual(
          records.map(({ index }) => index),
          Array.from({ length: 100 }, (_, index) => index * 10)
        )
        assert.isAtLeast(end, 900)
        assert.isAtMost(end, 1_800)
        assert.isAtMost(yield* endOf(healthy), 2)
      }).pipe(Effect.provide(live))
  )

  it.live("sends more to one partition than fits in one batch of Kafka", () =>
    Effect.gen(function* () {
      const topic = fresh("much")
      yield* create(topic, [])
      const count = 3_000
      yield* publish(Array.from({ length: count }, (_, index) => message(topic, "k", `${index}`, 1_000)))
      const values = yield* readTo(topic, `${count - 1}`)
      assert.deepStrictEqual(
        values,
        Array.from({ length: count }, (_, index) => `${index}`)
      )
    }).pipe(Effect.provide(live))
  )

  it.live("creates a topic at its first message, with the partitions it was told", () =>
    Effect.gen(function* () {
      const topic = fresh("new")
      yield* publish([message(topic, "k", "0")])
      assert.strictEqual(yield* partitionsOf(topic), 6)
    }).pipe(Effect.provide(live))
  )

  it.live("writes once what is published first to a topic that it has created", () =>
    Effect.forEach(
      Array.from({ length: 5 }, () => fresh("first")),
      (topic) =>
        Effect.gen(function* () {
          yield* publish(Array.from({ length: 60 }, (_, index) => message(topic, `${index}`, `${index}`)))
          assert.strictEqual(yield* endOf(topic), 60)
        }),
      { discard: true }
    ).pipe(Effect.provide(live))
  )

  it.live("has the broker stamp the records of a topic that it creates, whatever this machine's clock says", () =>
    Effect.gen(function* () {
      const topic = fresh("stamped")
      yield* ensureTopics({ brokers }, [topic])
      const { resources } = yield* administer((admin) =>
        admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: 2, name: topic, configNames: ["message.timestamp.type"] }]
        })
      )
      assert.strictEqual(resources[0]?.configEntries[0]?.configValue, "LogAppendTime")
    })
  )

  it.live("leaves a topic that exists as it is", () =>
    Effect.gen(function* () {
      const topic = fresh("old")
      yield* create(topic, [], 2)
      yield* ensureTopics({ brokers }, [topic])
      assert.strictEqual(yield* partitionsOf(topic), 2)
    })
  )
})
