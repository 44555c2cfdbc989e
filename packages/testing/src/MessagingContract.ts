/**
 * The laws of `MessagePublisher`, `MessageConsumer` and `TopicReader`, for authors of adapters.
 *
 * ```ts
 * import { suite } from "@invoice/testing/MessagingContract"
 *
 * suite("my broker", MyBroker.layer(options), {
 *   durable: true, multiProcess: true, handedOverOnce: false, handledBeforePublished: false, refuses: false
 * })
 * ```
 *
 * Topics and groups are new in every law; nothing is cleaned up. The layer is built anew for every law.
 */
import { assert } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Arbitrary, Deferred, type Duration, Effect, Fiber, type Layer, Schedule, Schema, Stream } from "effect"
import * as Contract from "./Contract.ts"
import {
  ascending,
  countingTo,
  encoder,
  fresh,
  gotAll,
  message,
  numbered,
  numbers,
  publish,
  publishing,
  texts
} from "./Messages.ts"
import type { Features, Law, Ports } from "./MessagingLaw.ts"
import { offsetLaws } from "./OffsetLaws.ts"
import { read, untilAny } from "./Reading.ts"
import { type RefusalOptions, refusalLaws } from "./RefusalLaws.ts"

export type { Features, Law }

export interface Options extends RefusalOptions {
  /** How long a law waits for what must happen; default 25 s. */
  readonly timeout?: Duration.Input
}

const defaultTimeout = "25 seconds"

/** Two subscribers of one group, which both receive messages, until every sent message has come to one of them. */
const shared = Effect.gen(function* () {
  const topic = fresh("shared")
  const group = fresh("group")
  const subscribers = [yield* read({ topic, group }), yield* read({ topic, group })]
  const received = () => subscribers.flatMap((subscriber) => texts(subscriber.messages()).map(Number))
  let sent = 0
  const round = (size: number) =>
    Effect.gen(function* () {
      yield* publish(countingTo(size).map((index) => message(topic, `${index}`, `${sent + index}`)))
      sent += size
      yield* untilAny(subscribers, () => new Set(received()).size >= sent)
    })
  while (subscribers.some((subscriber) => subscriber.messages().length === 0)) yield* round(24)
  yield* round(500)
  return { received: received(), sent }
})

/** Bytes, keys and headers that code made for text spoils; all strings are ones that UTF-8 can hold. */
const hostile = (topic: string) => {
  const text = Arbitrary.map(Arbitrary.schema(Schema.String), (string) => string.toWellFormed())
  const name = Arbitrary.filter(text, (string) => string !== "" && string !== "__proto__")
  return Arbitrary.map(
    Arbitrary.all({
      key: text,
      keyed: Arbitrary.schema(Schema.Boolean),
      value: Arbitrary.schema(Schema.Uint8Array),
      headers: Arbitrary.array(Arbitrary.all([name, text]), { maxLength: 4 })
    }),
    ({ key, keyed, value, headers }): Message => ({
      topic,
      key: keyed ? key : undefined,
      value,
      headers: Object.fromEntries(headers)
    })
  )
}

const awkward = (topic: string): ReadonlyArray<Message> => [
  { topic, key: undefined, value: new Uint8Array(), headers: {} },
  { topic, key: "", value: Uint8Array.of(0, 255, 254, 0, 10), headers: { empty: "" } },
  {
    topic,
    key: "ключ 🔑",
    value: Uint8Array.of(0xc3, 0x28),
    headers: { "ce_subject-ü": "żółć 🧾\u0000\n", traceparent: "00-" }
  },
  { topic, key: " k\u0000 ", value: encoder.encode("{}"), headers: { constructor: "x", length: "1" } },
  {
    topic,
    key: "🧾".repeat(250),
    value: Uint8Array.from({ length: 100_000 }, (_, index) => (index * 7) % 256),
    headers: Object.fromEntries(countingTo(40).map((n) => [`header-${n}`, "ż".repeat(n * 50)]))
  }
]

const ready = Effect.flatMap(MessagePublisher, (publisher) =>
  Effect.retry(publisher.ready, { schedule: Schedule.spaced("100 millis") })
)

const keyOrder = Effect.gen(function* () {
  const topic = fresh("order")
  const keys = countingTo(12).map((index) => `${index}-${crypto.randomUUID()}`)
  const reading = yield* read({ topic, group: fresh("group") })
  for (const round of countingTo(5)) {
    yield* publish(countingTo(10).flatMap((n) => keys.map((key) => message(topic, key, `${round * 10 + n}`))))
  }
  yield* gotAll(reading, keys.length * 50)
  for (const key of keys) {
    assert.deepStrictEqual(numbers(reading.messages(), key), countingTo(50))
    const partitions = reading.batches().filter(({ messages }) => messages.some((one) => one.key === key))
    assert.strictEqual(new Set(partitions.map(({ partition }) => partition)).size, 1)
  }
})

const contentsKept = Effect.gen(function* () {
  const topic = fresh("hostile")
  const small = yield* Arbitrary.sampleEffect(hostile(topic), { count: 80 })
  const large = yield* Arbitrary.sampleEffect(hostile(topic), { count: 20, size: 2_000 })
  const sent = [...awkward(topic), ...small, ...large].map((one, index) => ({
    ...one,
    headers: { ...one.headers, index: `${index}` }
  }))
  yield* publish(sent)
  const reading = yield* read({ topic, group: fresh("group") })
  yield* gotAll(reading, sent.length)
  const received = reading.messages().toSorted((a, b) => Number(a.headers["index"]) - Number(b.headers["index"]))
  const plain = (one: Message) => ({ ...one, value: Array.from(one.value), headers: { ...one.headers } })
  assert.deepStrictEqual(received.map(plain), sent.map(plain))
})

const severalTopics = Effect.gen(function* () {
  const [one, other] = [fresh("one"), fresh("other")]
  yield* publish([...numbered(one, "k", 0, 3), ...numbered(other, "k", 10, 2), ...numbered(one, "k", 3, 2)])
  const first = yield* read({ topic: one, group: fresh("group") })
  const second = yield* read({ topic: other, group: fresh("group") })
  yield* gotAll(first, 5)
  yield* gotAll(second, 2)
  assert.deepStrictEqual(numbers(first.messages()), [0, 1, 2, 3, 4])
  assert.deepStrictEqual(numbers(second.messages()), [10, 11])
})

const everyGroup = Effect.gen(function* () {
  const topic = fresh("groups")
  yield* publish(numbered(topic, "k", 0, 10))
  const early = yield* read({ topic, group: fresh("early") })
  yield* gotAll(early, 10)
  yield* publish(numbered(topic, "k", 10, 10))
  const late = yield* read({ topic, group: fresh("late") })
  yield* gotAll(early, 20)
  yield* gotAll(late, 20)
  assert.deepStrictEqual(numbers(early.messages()), countingTo(20))
  assert.deepStrictEqual(numbers(late.messages()), countingTo(20))
})

const backPressure = Effect.gen(function* () {
  const topic = fresh("pressure")
  const total = 2_000
  yield* publish(numbered(topic, "k", 0, total))
  const holding = yield* read({ topic, group: fresh("holding") }, { acknowledge: false })
  yield* holding.until(() => holding.batches().length > 0)
  // once another group is at the end, this one would be far ahead if it did not wait
  const eager = yield* read({ topic, group: fresh("eager") })
  yield* gotAll(eager, total)
  for (let count = 1; ; count++) {
    assert.strictEqual(holding.batches().length, count)
    const last = holding.batches().at(-1)
    assert.isAtMost(last?.messages.length ?? 0, 1_000, "a batch is bounded")
    if (holding.messages().length >= total) break
    if (last !== undefined) yield* last.acknowledge
    yield* holding.until(() => holding.batches().length > count)
  }
  assert.deepStrictEqual(numbers(holding.messages()), countingTo(total))
})

const comesAgain = Effect.gen(function* () {
  const topic = fresh("again")
  const group = fresh("group")
  yield* publish(numbered(topic, "k", 0, 20))
  const consumer = yield* MessageConsumer
  const held = yield* Stream.runHead(consumer.subscribe({ topic, group }))
  assert.strictEqual(held._tag, "Some")
  const next = yield* read({ topic, group })
  yield* gotAll(next, 20)
  assert.deepStrictEqual(numbers(next.messages()), countingTo(20))
})

const interruption = Effect.gen(function* () {
  const topic = fresh("interrupted")
  const group = fresh("group")
  const keys = countingTo(24).map((index) => `${index}`)
  yield* publish(keys.map((key) => message(topic, key, key)))
  const holding = yield* read({ topic, group }, { acknowledge: false })
  yield* holding.until(() => holding.batches().length > 0)
  yield* holding.close
  const next = yield* read({ topic, group })
  yield* gotAll(next, keys.length)
  assert.deepStrictEqual(new Set(texts(next.messages())), new Set(keys))
})

const acknowledgedOnce = Effect.gen(function* () {
  const topic = fresh("once")
  const group = fresh("group")
  const first = yield* read({ topic, group })
  yield* publish(numbered(topic, "k", 0, 20))
  yield* gotAll(first, 20)
  yield* first.close
  yield* publishing([message(topic, "k", "20")])
  const next = yield* read({ topic, group })
  yield* next.until(() => numbers(next.messages()).includes(20))
  assert.deepStrictEqual(numbers(next.messages()), [20])
})

const sharedNothingLost = Effect.gen(function* () {
  const { received, sent } = yield* shared
  assert.deepStrictEqual([...new Set(received)].toSorted(ascending), countingTo(sent))
})

const sharedOnce = Effect.gen(function* () {
  const { received, sent } = yield* shared
  assert.deepStrictEqual(received.toSorted(ascending), countingTo(sent))
})

const publishWaits = Effect.gen(function* () {
  const topic = fresh("handled")
  const group = fresh("group")
  // `publish` waits for a group only after the group's first subscription
  const known = yield* read({ topic, group })
  yield* publish(numbered(topic, "k", 0, 1))
  yield* gotAll(known, 1)
  yield* known.close
  const first = yield* read({ topic, group }, { acknowledge: false })
  const published = yield* publishing(numbered(topic, "k", 1, 3))
  yield* first.until(() => first.batches().length > 0)
  assert.isUndefined(published.pollUnsafe(), "nothing is acknowledged")
  yield* first.close
  const next = yield* read({ topic, group }, { acknowledge: false })
  yield* next.until(() => next.messages().length === 3)
  assert.isUndefined(published.pollUnsafe(), "still nothing is acknowledged")
  for (const batch of next.batches()) yield* batch.acknowledge
  yield* Fiber.join(published)
})

const outlivesInstance = (elsewhere: Contract.Elsewhere<Ports>) =>
  Effect.gen(function* () {
    const topic = fresh("durable")
    const group = fresh("group")
    yield* elsewhere(publish(numbered(topic, "k", 0, 10)))
    yield* elsewhere(
      Effect.scoped(
        Effect.gen(function* () {
          const reading = yield* read({ topic, group })
          yield* gotAll(reading, 10)
        })
      )
    )
    yield* publishing(numbered(topic, "k", 10, 1))
    const reading = yield* read({ topic, group })
    yield* gotAll(reading, 1)
    assert.deepStrictEqual(numbers(reading.messages()), [10])
  })

const takenOver = (elsewhere: Contract.Elsewhere<Ports>) =>
  Effect.gen(function* () {
    const topic = fresh("instances")
    const group = fresh("group")
    const holds = yield* Deferred.make<void>()
    const other = yield* Effect.forkScoped(
      elsewhere(
        Effect.scoped(
          Effect.gen(function* () {
            const holding = yield* read({ topic, group }, { acknowledge: false })
            yield* holding.until(() => holding.batches().length > 0)
            yield* Deferred.succeed(holds, undefined)
            yield* Effect.never
          })
        )
      )
    )
    yield* publish(numbered(topic, "k", 0, 10))
    yield* Effect.raceFirst(Deferred.await(holds), Fiber.join(other))
    const reading = yield* read({ topic, group })
    yield* Fiber.interrupt(other)
    yield* gotAll(reading, 10)
    assert.deepStrictEqual(numbers(reading.messages()), countingTo(10))
  })

/** The laws over a layer, one by one, so that a test can also see that a broken adapter fails them. */
export const laws = (layer: Layer.Layer<Ports, unknown>, options: Options = {}): ReadonlyArray<Law> => {
  const { elsewhere, law } = Contract.over<Ports, keyof Features>(layer, options.timeout ?? defaultTimeout)

  return [
    law("the publisher becomes ready", ready),
    law("messages of one key arrive from one partition in the order they were published", keyOrder),
    law("a message keeps its key, its value and its headers, whatever they hold", contentsKept),
    law("one publish carries messages to several topics", severalTopics),
    law("every group receives every message, also what was published before its first subscription", everyGroup),
    law("the next batch of a partition waits for the acknowledgement of the one before", backPressure),
    law("a batch that was not acknowledged comes again, in order, to the next subscriber", comesAgain),
    law("interruption in the middle of a batch releases it", interruption),
    law("what was acknowledged does not come again", acknowledgedOnce),
    ...offsetLaws(law),
    ...refusalLaws(law, options),
    law("two subscribers of a group share a topic and nothing is lost", sharedNothingLost),
    law(
      "what two subscribers of a group share comes once, though the second one joins later",
      sharedOnce,
      "handedOverOnce"
    ),
    law(
      "publish resolves only when the group has acknowledged, through whichever subscriber",
      publishWaits,
      "handledBeforePublished"
    ),
    law("messages and acknowledgements outlive the instance that took them", outlivesInstance(elsewhere), "durable"),
    law(
      "a group is shared between instances: when one goes, the other takes over what it held",
      takenOver(elsewhere),
      "multiProcess"
    )
  ]
}

/** Registers a test for each law; a law that is not claimed is reported as skipped, by name. */
export const suite = (
  name: string,
  layer: Layer.Layer<Ports, unknown>,
  features: Features,
  options: Options = {}
): void => Contract.register(name, laws(layer, options), features, options.timeout ?? defaultTimeout)
