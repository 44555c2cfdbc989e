import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { suite } from "@invoice/testing/MessagingContract"
import { Effect, Fiber, Stream } from "effect"
import * as Broker from "../src/memory/Broker.ts"

suite("the in-process broker", Broker.layer(), {
  durable: false,
  multiProcess: false,
  handedOverOnce: true,
  handledBeforePublished: true,
  refuses: false
})

const numbered = (from: number, count: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => ({
    topic: "new_invoice",
    key: "k",
    value: Uint8Array.of(from + index),
    headers: {}
  }))

const subscription = { topic: "new_invoice", group: "validation-service" }

describe("the in-process broker", () => {
  it.effect("makes publish wait for a group that the options name, though it has not subscribed yet", () =>
    Effect.gen(function* () {
      const publisher = yield* MessagePublisher
      const consumer = yield* MessageConsumer
      const published = yield* Effect.forkScoped(publisher.publish(numbered(0, 3)))
      yield* Stream.runForEach(Stream.take(consumer.subscribe(subscription), 1), (batch) =>
        Effect.gen(function* () {
          assert.isUndefined(published.pollUnsafe())
          yield* batch.acknowledge
        })
      )
      yield* Fiber.join(published)
    }).pipe(Effect.provide(Broker.layer({ groups: [subscription] })))
  )

  it.effect("keeps a bounded number of the newest messages for groups to come", () =>
    Effect.gen(function* () {
      const publisher = yield* MessagePublisher
      const consumer = yield* MessageConsumer
      for (let from = 0; from < 200; from += 10) yield* publisher.publish(numbered(from, 10))
      const first = yield* Stream.runHead(consumer.subscribe(subscription))
      const values = first._tag === "Some" ? first.value.messages.map(({ value }) => value[0]) : []
      assert.isAtLeast(values.length, 20)
      assert.isAtMost(values.length, 40)
      assert.strictEqual(values.at(-1), 199)
    }).pipe(Effect.provide(Broker.layer({ partitions: 1, kept: 20 })))
  )

  it.effect("never lets go of what a group has not acknowledged", () =>
    Effect.gen(function* () {
      const publisher = yield* MessagePublisher
      const consumer = yield* MessageConsumer
      for (let from = 0; from < 200; from += 10) yield* Effect.forkScoped(publisher.publish(numbered(from, 10)))
      const values: Array<number | undefined> = []
      yield* consumer.subscribe(subscription).pipe(
        Stream.tap((batch) => batch.acknowledge),
        Stream.takeUntil((batch) => values.push(...batch.messages.map(({ value }) => value[0])) === 200),
        Stream.runDrain
      )
      assert.deepStrictEqual(
        values,
        Array.from({ length: 200 }, (_, index) => index)
      )
    }).pipe(Effect.provide(Broker.layer({ partitions: 1, kept: 0, maxBatch: 7, groups: [subscription] })))
  )
})
