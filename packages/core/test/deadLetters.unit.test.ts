/** Dead deadLetters: what is kept of a message, when the dead-deadLetter topic does not take one, and sending them again. */
import { assert, describe, it } from "@effect/vitest"
import {
  DeadLetter,
  DeadLetters,
  MessagePublisher,
  PublishRefused,
  PublishTransient,
  TopicReader,
  ValidateInvoices
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import { Effect, Fiber, Layer, Metric, Stream } from "effect"
import {
  about,
  deadLetters,
  type Faults,
  fails,
  message,
  noFaults,
  pending,
  publish,
  ready,
  running,
  store,
  topic,
  until,
  world
} from "./ValidatorWorld.ts"

const deadLetterTopic = DeadLetter.topicOf(topic)

const onDeadLetterTopic = Effect.flatMap(TopicReader, ({ read }) => Stream.runCollect(read(deadLetterTopic)))

const refuse = (
  messages: ReadonlyArray<Message>,
  isRefused: (message: Message) => boolean
): PublishRefused | undefined => {
  const records = messages.flatMap((one, index) => (isRefused(one) ? [{ index, reason: "too large" }] : []))
  return records.length === 0 ? undefined : new PublishRefused({ records })
}

describe("a dead letter that the broker refuses", () => {
  it.live("is kept with its headers, without the value, when that is what is too large", () => {
    const faults = noFaults()
    faults.publish = (messages) =>
      refuse(messages, (one) => one.topic === deadLetterTopic && one.value.byteLength > 100)
    return Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      yield* handle([
        message("first", "large"),
        message("x".repeat(200), "large"),
        message("small", "small"),
        message("last", "large")
      ])
      const kept = (yield* deadLetters).map(({ key, original }) => [
        key,
        original && new TextDecoder().decode(original.value)
      ])
      assert.sameDeepMembers(kept, [
        ["large", "first"],
        ["large", undefined],
        ["large", "last"],
        ["small", "small"]
      ])
      assert.deepStrictEqual(
        kept.filter(([key]) => key === "large").map(([, value]) => value),
        ["first", undefined, "last"]
      )
    }).pipe(Effect.provide(world(faults)))
  })

  for (const [what, fault] of [
    ["for want of a right to write it", () => new PublishTransient({ cause: new Error("TOPIC_AUTHORIZATION_FAILED") })],
    ["for good, even without its value", (messages) => refuse(messages, ({ value }) => value.byteLength === 0)]
  ] as const satisfies ReadonlyArray<readonly [string, Faults["publish"]]>) {
    it.live(`${what} holds its batch until somebody has mended that, and is written once`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const [poison, fine, later] = yield* store(3)
        const id = String(poison?.id)
        faults.decide = (decisions) => (decisions.some((one) => one.id === id) ? fails("permanent") : undefined)
        let refusals = 0
        faults.publish = (messages) => {
          if (!messages.some(({ topic }) => topic === deadLetterTopic)) return undefined
          // a value that is larger than what is left of a dead letter without it
          const large = refuse(messages, ({ key, value }) => key === id && value.byteLength > 0)
          const failure = large ?? fault(messages)
          if (failure !== undefined && failure !== large) refusals++
          return failure
        }
        yield* publish([message("no json", "k"), about({ id }), about({ id: String(fine?.id) }), message("no key")])
        yield* running
        yield* until(Effect.sync(() => refusals > 0))
        yield* Effect.forkScoped(publish([about({ id: String(later?.id) })]))
        yield* until(Effect.sync(() => refusals > 20))
        // its neighbours have their verdicts, what comes after the batch waits, and everybody can see it
        assert.sameMembers([...(yield* pending)], [id, String(later?.id)])
        assert.include(String((yield* Effect.flip(ready)).message), "broker")
        faults.publish = () => undefined
        yield* until(Effect.map(pending, (ids) => ids.length === 1))
        yield* ready
        const kinds = (yield* onDeadLetterTopic).map(({ message }) => message.headers["dlq_kind"])
        assert.sameMembers(kinds, ["Undecodable", "Undecodable", "Refused"])
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
    })
  }

  it.live("is counted, each time that it is refused for good", () => {
    const faults = noFaults()
    faults.publish = (messages) => refuse(messages, (one) => one.topic === deadLetterTopic)
    const refused = Effect.map(Metric.snapshot, (snapshots) =>
      snapshots
        .filter(({ id }) => id === "dead_letters_refused_total")
        .reduce((sum, { state }) => sum + ("count" in state ? Number(state.count) : 0), 0)
    )
    return Effect.gen(function* () {
      const before = yield* refused
      const { handle } = yield* ValidateInvoices
      const failure = yield* Effect.flip(handle([message("no json", "k")]))
      assert.strictEqual(failure._tag, "PublishRefused")
      assert.strictEqual(yield* refused, before + 1)
      assert.deepStrictEqual(yield* deadLetters, [])
    }).pipe(Effect.provide(world(faults)))
  })
})

describe("a dead letter", () => {
  const awkward: ReadonlyArray<Message> = [
    { topic, key: undefined, value: Uint8Array.of(0, 255, 254, 10), headers: {} },
    { topic, key: "", value: new Uint8Array(), headers: { empty: "", traceparent: "00-ü" } },
    { topic, key: "k", value: Uint8Array.of(123), headers: { ce_id: "1" } }
  ]

  it.live("is sent again as it was, once, and is not listed any longer", () =>
    Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      const { list, replay } = yield* DeadLetters
      const reader = yield* TopicReader
      yield* handle(awkward)
      assert.strictEqual((yield* Stream.runCollect(list(topic))).length, 3)
      assert.deepStrictEqual(yield* replay({ topic, key: "k" }), { sent: 1, left: 0, refused: 0 })
      assert.deepStrictEqual(
        new Set((yield* Stream.runCollect(list(topic))).map(({ key }) => key)),
        new Set([undefined, ""])
      )
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 2, left: 0, refused: 0 })
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 0, left: 0, refused: 0 })
      assert.deepStrictEqual(yield* Stream.runCollect(list(topic)), [])
      const again = yield* Stream.runCollect(reader.read(topic))
      assert.sameDeepMembers(
        again.map(({ message }) => message),
        [...awkward]
      )
    }).pipe(Effect.provide(world(noFaults())))
  )

  it.live("stays one, with those of its key behind it, when the broker refuses it; the others are sent, once", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      const { list, replay } = yield* DeadLetters
      const reader = yield* TopicReader
      const page = 100
      // the key comes again in a later page
      const fine = Array.from({ length: page }, (_, index) => message("fine", `${index}`))
      yield* handle([message("refused", "a"), message("behind", "a"), ...fine, message("later", "a")])
      faults.publish = (messages) =>
        refuse(messages, (one) => one.topic === topic && new TextDecoder().decode(one.value) === "refused")
      assert.deepStrictEqual(yield* replay({ topic }), { sent: page, left: 0, refused: 3 })
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 0, left: 0, refused: 3 })
      assert.strictEqual((yield* Stream.runCollect(reader.read(topic))).length, page)
      assert.strictEqual((yield* Stream.runCollect(list(topic))).length, 3)
      faults.publish = () => undefined
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 3, left: 0, refused: 0 })
      const again = yield* Stream.runCollect(reader.read(topic))
      assert.deepStrictEqual(
        again
          .filter(({ message }) => message.key === "a")
          .map(({ message }) => new TextDecoder().decode(message.value)),
        ["refused", "behind", "later"]
      )
    }).pipe(Effect.provide(world(faults, { partitions: 1 })))
  })

  it.live("is sent again by the next replay when one was cut off before it noted that", () =>
    Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      yield* handle(awkward)
      const publisher = yield* MessagePublisher
      const cut = MessagePublisher.of({
        ...publisher,
        publish: (messages) =>
          messages.some(({ headers }) => headers["dlq_receipt"] !== undefined)
            ? Effect.never
            : publisher.publish(messages)
      })
      const reader = yield* TopicReader
      const fiber = yield* Effect.forkScoped(
        Effect.flatMap(DeadLetters, ({ replay }) => replay({ topic })).pipe(
          Effect.provide(Layer.fresh(DeadLetters.layer)),
          Effect.provideService(MessagePublisher, cut)
        )
      )
      yield* until(Effect.map(Stream.runCollect(reader.read(topic)), (sent) => sent.length === 3))
      yield* Fiber.interrupt(fiber)
      const { replay } = yield* DeadLetters
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 3, left: 0, refused: 0 })
    }).pipe(Effect.scoped, Effect.provide(world(noFaults())))
  )
})
