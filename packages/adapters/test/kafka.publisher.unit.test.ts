/** What the publisher believes and what it does with a refusal, over a model of brokers under kafkajs' own producer. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Arbitrary, Effect, Logger, Schema } from "effect"
import type { Message as Outgoing } from "kafkajs"
import { KafkaPublisher } from "../src/kafka/index.ts"
import { type Answered, bytesOf, codes, KafkaModel, largerThan } from "./KafkaModel.ts"

const message = (topic: string, key: string | undefined, text: string, bytes = 0): Message => {
  const value = new Uint8Array(Math.max(bytes, text.length))
  new TextEncoder().encodeInto(text, value)
  return { topic, key, value, headers: {} }
}

const numbered = (topic: string, count: number, from = 0): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => message(topic, `k${index}`, `${from + index}`))

const text = ({ value }: Message): string => new TextDecoder().decode(value).replaceAll("\0", "")

const over = (kafka: KafkaModel) => KafkaPublisher.publisherOver(kafka, { topics: [] })

const publish = (messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

/** As the relay does it: all of it again until it is there. */
const persistently = (messages: ReadonlyArray<Message>) =>
  Effect.retry(publish(messages), { times: 5, while: (error) => error._tag === "PublishTransient" })

const refusal = (messages: ReadonlyArray<Message>) =>
  Effect.map(Effect.flip(publish(messages)), (error) => {
    assert.strictEqual(error._tag, "PublishRefused")
    return error._tag === "PublishRefused" ? error.records : []
  })

const indexes = (records: ReadonlyArray<{ readonly index: number }>) => records.map(({ index }) => index)

const holds = (kafka: KafkaModel, topic: string, messages: ReadonlyArray<Message>) =>
  assert.deepStrictEqual([...new Set(kafka.texts(topic))].toSorted(), messages.map(text).toSorted())

const mostAppended = (kafka: KafkaModel, topic: string): number => {
  const counts = Map.groupBy(kafka.texts(topic), (one) => one)
  return Math.max(0, ...[...counts.values()].map(({ length }) => length))
}

describe("a publish", () => {
  it.live("does not succeed while records of a partition whose leader moved were never sent", () => {
    const kafka = new KafkaModel(2)
    const { partitions } = kafka.create("t", 6)
    const messages = numbered("t", 60)
    return Effect.gen(function* () {
      // the second broker hears of it before the client does, and the first has answered by then
      let moves = 1
      kafka.arriving = async (broker) => {
        if (broker !== 2 || moves-- <= 0) return
        await Promise.resolve()
        for (const partition of partitions) partition.leader = 1
      }
      yield* persistently(messages)
      holds(kafka, "t", messages)
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("hands nothing to the brokers a second time by itself", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 1, () => codes.notLeader)
    return Effect.gen(function* () {
      const failure = yield* Effect.flip(publish(numbered("t", 1)))
      assert.include(failure._tag === "PublishTransient" ? String(failure.cause) : "", "NOT_LEADER_FOR_PARTITION")
      assert.lengthOf(kafka.requests, 1)
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("does not wait for a topic of somebody else that has no leader", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 3)
    for (const partition of kafka.create("of somebody else", 1).partitions) partition.leader = -1
    const messages = numbered("t", 6)
    return Effect.gen(function* () {
      yield* publish(messages)
      assert.deepStrictEqual([...kafka.texts("t")].toSorted(), messages.map(text))
    }).pipe(Effect.provide(over(kafka)))
  })

  const answers: ReadonlyArray<readonly [name: string, bend: (answer: Answered) => Answered]> = [
    ["names fewer partitions", ({ topics }) => ({ topics: topics.map((one) => rest(one)) })],
    ["names no topic", () => ({ topics: [] })],
    ["names a partition twice", ({ topics }) => ({ topics: [...topics, ...topics] })],
    ["has another partition", ({ topics }) => ({ topics: topics.map((one) => ({ ...one, topicName: "other" })) })],
    ["has no offset", ({ topics }) => ({ topics: topics.map((one) => offset(one, "-1")) })]
  ]
  const rest = (one: Answered["topics"][number]) => ({ ...one, partitions: one.partitions.slice(1) })
  const offset = (one: Answered["topics"][number], baseOffset: string) => ({
    ...one,
    partitions: one.partitions.map((partition) => ({ ...partition, baseOffset }))
  })

  for (const [name, bend] of answers) {
    it.live(`is not acknowledged by an answer that ${name}; the next has a new producer`, () => {
      const kafka = new KafkaModel(1)
      kafka.create("t", 3)
      const messages = numbered("t", 12)
      return Effect.gen(function* () {
        kafka.answering = bend
        const failure = yield* Effect.flip(publish(messages))
        assert.strictEqual(failure._tag, "PublishTransient")
        assert.include(failure._tag === "PublishTransient" ? String(failure.cause) : "", "NOT_ACKNOWLEDGED")
        kafka.answering = (answer) => answer
        yield* publish(messages)
        assert.strictEqual(kafka.producers, 2)
        holds(kafka, "t", messages)
      }).pipe(Effect.provide(over(kafka)))
    })
  }

  it.live("is not acknowledged by an offset that this producer has passed: the broker took it for a duplicate", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 1)
    return Effect.gen(function* () {
      yield* publish(numbered("t", 10))
      kafka.answering = ({ topics }) => ({ topics: topics.map((one) => offset(one, "3")) })
      const failure = yield* Effect.flip(publish(numbered("t", 10, 10)))
      assert.include(failure._tag === "PublishTransient" ? String(failure.cause) : "", "had reached 10")
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("that a broker carries out late, behind what came after it, brings duplicates but no new order", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 1)
    const first = numbered("t", 5)
    const second = numbered("t", 5, 5)
    return Effect.gen(function* () {
      // the request is read by the broker and not answered in time
      let late: () => void = () => {}
      let once = true
      kafka.arriving = (broker, request) => {
        if (!once) return
        once = false
        late = () => kafka.carryOut(broker, request)
        throw Object.assign(new Error("timed out"), { name: "KafkaJSRequestTimeoutError", retriable: true })
      }
      yield* persistently(first)
      yield* persistently(second)
      late()
      const appended = kafka.texts("t")
      assert.deepStrictEqual([...new Set(appended)], [...first, ...second].map(text))
      assert.strictEqual(appended.length, 15)
    }).pipe(Effect.provide(over(kafka)))
  })
})

const limit = 20_000

describe("a refusal", () => {
  it.live(
    "is found with few sends: the rest is durable, appended twice at most, and no key's order is inverted",
    () => {
      const kafka = new KafkaModel(1)
      kafka.create("small", 6, largerThan(limit))
      kafka.limits.set("small", limit)
      kafka.create("healthy", 6)
      const messages = Array.from({ length: 1_000 }, (_, index) =>
        message("small", `p-${index}`, `${index}`, index % 10 === 0 ? 60_000 : 500)
      )
      const healthy = numbered("healthy", 50)
      return Effect.gen(function* () {
        const records = yield* refusal([...messages, ...healthy])
        const large = messages.flatMap(({ value }, index) => (value.byteLength > limit ? [index] : []))
        assert.deepStrictEqual(indexes(records), large)
        holds(
          kafka,
          "small",
          messages.filter(({ value }) => value.byteLength <= limit)
        )
        holds(kafka, "healthy", healthy)
        assert.isAtMost(mostAppended(kafka, "small"), 2)
        assert.isAtMost(mostAppended(kafka, "healthy"), 2)
        // one for each that is refused, and some for the rest
        assert.isBelow(kafka.requests.length, 200)
        assert.isAtMost(kafka.producers, 2)
      }).pipe(Effect.provide(over(kafka)))
    }
  )

  it.live("is found by halves where the topic's limit may not be read", () => {
    const kafka = new KafkaModel(1)
    kafka.create("small", 6, largerThan(limit))
    const messages = Array.from({ length: 300 }, (_, index) =>
      message("small", `p-${index}`, `${index}`, index % 30 === 0 ? 60_000 : 500)
    )
    return Effect.gen(function* () {
      const records = yield* refusal(messages)
      assert.lengthOf(records, 10)
      holds(
        kafka,
        "small",
        messages.filter(({ value }) => value.byteLength <= limit)
      )
      assert.isAtMost(mostAppended(kafka, "small"), 2)
      assert.isBelow(kafka.requests.length, 200)
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("of messages without key leaves none of the others out and appends none more than twice", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 6, (messages) => (messages.some(isBad) ? codes.invalidRecord : 0))
    const messages = Array.from({ length: 100 }, (_, index) =>
      message("t", undefined, index % 7 === 0 ? `bad ${index}` : `${index}`)
    )
    return Effect.gen(function* () {
      const records = yield* refusal(messages)
      assert.deepStrictEqual(
        indexes(records),
        messages.flatMap((one, index) => (text(one).startsWith("bad") ? [index] : []))
      )
      holds(
        kafka,
        "t",
        messages.filter((one) => !text(one).startsWith("bad"))
      )
      assert.isAtMost(mostAppended(kafka, "t"), 2)
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("uses up no sequence number: the producer goes on", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 1, (messages) => (messages.some(isBad) ? codes.invalidRecord : 0))
    return Effect.gen(function* () {
      for (let index = 0; index < 5; index++) {
        const records = yield* refusal([message("t", "k", `${index}`), message("t", "b", `bad ${index}`)])
        assert.deepStrictEqual(indexes(records), [1])
      }
      assert.deepStrictEqual(kafka.texts("t"), ["0", "1", "2", "3", "4"])
      assert.strictEqual(kafka.producers, 1)
    }).pipe(Effect.provide(over(kafka)))
  })

  it.live("tells apart, for any messages, what is refused, what waits behind it, and what is durable", () => {
    const sent = Schema.Array(Schema.Struct({ key: Schema.Int, topic: Schema.Int, isBad: Schema.Boolean }))
    return Effect.gen(function* () {
      for (const batch of yield* Arbitrary.sampleEffect(Arbitrary.schema(sent), { count: 200, size: 40 })) {
        const kafka = new KafkaModel(2)
        for (const topic of ["t0", "t1"]) {
          kafka.create(topic, 3, (messages) => (messages.some(isBad) ? codes.invalidRecord : 0))
        }
        const messages = batch.map(({ isBad, key, topic }, index) =>
          message(`t${Math.abs(topic) % 2}`, `k${Math.abs(key) % 5}`, isBad ? `bad ${index}` : `${index}`)
        )
        yield* compare(kafka, messages, (one) => text(one).startsWith("bad")).pipe(Effect.provide(over(kafka)))
      }
    })
  })

  it.live("does so for any sizes, whether the topic's limit is known, out of date or not to be had", () => {
    const most = 1_000
    const sent = Arbitrary.array(
      Arbitrary.schema(Schema.Struct({ key: Schema.Int, topic: Schema.Int, size: Schema.Int })),
      { minLength: 1, maxLength: 60 }
    )
    const round = Arbitrary.all({ sent, limit: Arbitrary.schema(Schema.Int), told: Arbitrary.schema(Schema.Int) })
    const rounds = Arbitrary.array(round, { minLength: 1, maxLength: 4 })
    const between = (from: number, to: number, number: number) => from + (Math.abs(number) % (to - from))
    return Effect.gen(function* () {
      for (const some of yield* Arbitrary.sampleEffect(rounds, { count: 150, size: 60 })) {
        const kafka = new KafkaModel(2)
        const topics = ["t0", "t1"].map((name) => kafka.create(name, 3))
        yield* Effect.forEach(some, ({ limit, sent, told }, round) => {
          // as an operator changes it, and as the broker may not be asked for it
          const real = between(most / 2, most * 2, limit)
          for (const topic of topics) topic.refuses = largerThan(real)
          kafka.limits.set("t0", real)
          if (told % 3 === 0) kafka.limits.delete("t1")
          else kafka.limits.set("t1", between(most / 4, most * 3, told))
          const messages = sent.map(({ key, size, topic }, index) =>
            message(
              `t${between(0, 2, topic)}`,
              `k${between(0, 6, key)}`,
              `${round}-${index}`,
              between(0, most + most / 4, size)
            )
          )
          return compare(kafka, messages, ({ key, value }) => {
            const record = { key: key ?? null, value: Buffer.from(value) }
            return bytesOf([record]) > real
          })
        }).pipe(Effect.provide(over(kafka)))
      }
    })
  })

  it.live("of a topic whose name can't be holds up no other topic", () => {
    const kafka = new KafkaModel(1)
    kafka.create("t", 1)
    kafka.impossible.add("no spaces")
    return Effect.gen(function* () {
      const records = yield* refusal([
        message("t", "a", "0"),
        message("no spaces", "b", "x"),
        message("t", "c", "1"),
        message("no spaces", "d", "y")
      ])
      assert.deepStrictEqual(indexes(records), [1, 3])
      assert.deepStrictEqual(kafka.texts("t"), ["0", "1"])
    }).pipe(Effect.provide(over(kafka)))
  })
})

const isBad = ({ value }: Outgoing): boolean => String(value).startsWith("bad")

/** Publishes and compares with what ought to come of it. */
const compare = (kafka: KafkaModel, messages: ReadonlyArray<Message>, isRefused: (one: Message) => boolean) =>
  Effect.gen(function* () {
    const stopped = new Set<string>()
    const refused: Array<number> = []
    const durable = new Map<string, Array<string>>()
    for (const [index, one] of messages.entries()) {
      const name = `${one.topic} ${one.key}`
      if (stopped.has(name)) continue
      if (isRefused(one)) {
        refused.push(index)
        stopped.add(name)
      } else durable.set(name, [...(durable.get(name) ?? []), text(one)])
    }
    const records = yield* Effect.match(publish(messages), {
      onSuccess: () => [],
      onFailure: (error) => (error._tag === "PublishRefused" ? error.records : assert.fail(String(error.cause)))
    })
    assert.deepStrictEqual(indexes(records), refused)
    const own = new Set(messages.map(text))
    const found = new Map<string, Array<string>>()
    for (const topic of kafka.topics.keys()) {
      for (const { key, text } of kafka.records(topic)) {
        const name = `${topic} ${key}`
        if (!own.has(text)) continue
        found.set(name, [...(found.get(name) ?? []), text])
      }
      assert.isAtMost(mostAppended(kafka, topic), 2)
    }
    assert.deepStrictEqual(
      [...found].map(([name, texts]) => [name, [...new Set(texts)]]).toSorted(),
      [...durable].toSorted()
    )
  })

describe("a denial", () => {
  it.live("is an outage: nothing is refused, and the log names the topic and the right", () => {
    const warnings: Array<string> = []
    const listening = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn") warnings.push(String(message))
    })
    const kafka = new KafkaModel(1)
    const topic = kafka.create("new_invoice.dlq", 1, () => codes.topicAuthorization)
    const messages = numbered("new_invoice.dlq", 3)
    return Effect.gen(function* () {
      const failure = yield* Effect.flip(publish(messages))
      assert.strictEqual(failure._tag, "PublishTransient")
      assert.isTrue(warnings.some((one) => one.includes("Write on new_invoice.dlq")))
      topic.refuses = () => 0
      yield* publish(messages)
      holds(kafka, "new_invoice.dlq", messages)
    }).pipe(Effect.provide(over(kafka)), Effect.provide(Logger.layer([listening])))
  })

  it.live("of creating topics keeps nothing from being published to those that are there", () => {
    const kafka = new KafkaModel(1)
    kafka.create("there", 1)
    kafka.mayCreate = false
    const publisher = KafkaPublisher.publisherOver(kafka, { topics: ["there", "missing"] })
    return Effect.gen(function* () {
      yield* publish(numbered("there", 3))
      const failure = yield* Effect.flip(publish(numbered("missing", 3)))
      assert.strictEqual(failure._tag, "PublishTransient")
      yield* publish(numbered("there", 3, 3))
      assert.lengthOf(kafka.texts("there"), 6)
    }).pipe(Effect.provide(publisher))
  })
})
