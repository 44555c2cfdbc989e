/** When a session of a group ends by itself, so that another takes its place: over a consumer that does as it is told. */
import { assert, describe, it } from "@effect/vitest"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { type Duration, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { KafkaConsumer } from "../src/kafka/index.ts"
import { type ConsumerModel, ConsumersModel } from "./ConsumerModel.ts"

/** Promises take their turns. */
const turns = Effect.promise(async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
})

const pass = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), turns)

const subscribed = (kafka: ConsumersModel, body: (first: ConsumerModel) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const { subscribe } = yield* MessageConsumer
    yield* Effect.forkScoped(Stream.runDrain(subscribe({ topic: "t", group: "g" })))
    yield* turns
    const [first] = kafka.consumers
    if (first === undefined) return assert.fail("there is no consumer")
    yield* body(first)
    return undefined
  }).pipe(Effect.scoped, Effect.provide(KafkaConsumer.consumerOver(kafka)))

/** As kafkajs does while nothing is wrong: it fetches from every broker a few times a second. */
const fetching = (consumer: ConsumerModel, seconds: number) =>
  Effect.forEach(
    Array.from({ length: seconds }, (_, index) => index),
    () =>
      Effect.andThen(
        Effect.sync(() => consumer.emit("consumer.fetch", {})),
        pass("1 second")
      ),
    { discard: true }
  )

const tryToJoin = (consumer: ConsumerModel) =>
  Effect.sync(() => {
    consumer.join().catch(() => {})
  })

const rejecting = (error: object) => () => Promise.reject(Object.assign(new Error("refused"), error))

describe("a session", () => {
  it.effect("goes on while kafkajs fetches", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, (first) =>
      Effect.gen(function* () {
        yield* fetching(first, 200)
        assert.lengthOf(kafka.consumers, 1)
      })
    )
  })

  it.effect("ends kafkajs' fetchers when it ends, also those that kafkajs makes after it was told to stop", () => {
    const kafka = new ConsumersModel("t")
    return Effect.gen(function* () {
      yield* subscribed(kafka, (first) => Effect.sync(() => assert.deepEqual(first.nodeIds(), ["0"])))
      assert.throws(() => kafka.consumers[0]?.nodeIds(), "the consumer is stopped")
    })
  })

  for (const step of ["joinGroup", "syncGroup"] as const) {
    it.effect(`ends when ${step} fails, also when kafkajs goes on fetching`, () => {
      const kafka = new ConsumersModel("t")
      return subscribed(kafka, (first) =>
        Effect.gen(function* () {
          first.coordinator = { ...first.coordinator, [step]: rejecting({ type: "GROUP_LOAD_IN_PROGRESS" }) }
          yield* tryToJoin(first)
          yield* turns
          yield* fetching(first, 1)
          assert.isTrue(first.disconnected)
          assert.lengthOf(kafka.consumers, 2)
        })
      )
    })
  }

  it.effect("ends when the metadata that its try to join needs can't be read", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, (first) =>
      Effect.gen(function* () {
        first.metadata = rejecting({ name: "KafkaJSConnectionClosedError" })
        yield* tryToJoin(first)
        yield* turns
        yield* fetching(first, 1)
        assert.isTrue(first.disconnected)
        assert.lengthOf(kafka.consumers, 2)
      })
    )
  })

  it.effect("goes on when kafkajs tries to join again by itself", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, (first) =>
      Effect.gen(function* () {
        first.coordinator = { ...first.coordinator, joinGroup: rejecting({ type: "REBALANCE_IN_PROGRESS" }) }
        yield* tryToJoin(first)
        yield* fetching(first, 5)
        first.coordinator = { ...first.coordinator, joinGroup: async () => {} }
        yield* tryToJoin(first)
        yield* fetching(first, 100)
        assert.lengthOf(kafka.consumers, 1)
      })
    )
  })

  it.effect("ends when a try to join comes to nothing for 65 s", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, (first) =>
      Effect.gen(function* () {
        first.coordinator = { ...first.coordinator, syncGroup: () => new Promise(() => {}) }
        yield* tryToJoin(first)
        yield* fetching(first, 60)
        assert.lengthOf(kafka.consumers, 1)
        yield* fetching(first, 10)
        assert.lengthOf(kafka.consumers, 2)
      })
    )
  })

  it.effect("ends when kafkajs neither fetches nor joins for 65 s", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, () =>
      Effect.gen(function* () {
        yield* pass("60 seconds")
        assert.lengthOf(kafka.consumers, 1)
        yield* pass("10 seconds")
        assert.lengthOf(kafka.consumers, 2)
      })
    )
  })

  it.effect("ends when a request is not answered in time: its connection may be dead", () => {
    const kafka = new ConsumersModel("t")
    return subscribed(kafka, (first) =>
      Effect.gen(function* () {
        first.emit("consumer.network.request_timeout", { apiName: "Fetch", broker: "b" })
        yield* turns
        yield* pass("1 second")
        assert.isTrue(first.disconnected)
        assert.lengthOf(kafka.consumers, 2)
      })
    )
  })
})
