/** A broker that stops, goes away or was never there. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { type Reading, read } from "@invoice/testing/Reading"
import { Effect, Layer, Logger, Schedule, type Scope, Stream } from "effect"
import { type ConsumerGroupState, Kafka, logLevel, PartitionAssigners } from "kafkajs"
import { afterAll, inject } from "vitest"
import { type StartedNode, startKafka } from "../../../test/infra/kafka/index.ts"
import { KafkaConsumer, KafkaPublisher } from "../src/kafka/index.ts"

const fresh = (what: string): string => `faults-${what}-${crypto.randomUUID()}`

const messages = (topic: string, from: number, count: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => ({
    topic,
    key: `${(from + index) % 24}`,
    value: new TextEncoder().encode(`${from + index}`),
    headers: {}
  }))

const number = ({ value }: Message): number => Number(new TextDecoder().decode(value))

const sorted = (some: ReadonlyArray<Message>): ReadonlyArray<number> => some.map(number).toSorted((a, b) => a - b)

const countingTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const layers = (brokers: ReadonlyArray<string>, options: Partial<KafkaConsumer.Options> = {}) =>
  Layer.merge(
    KafkaPublisher.layer({ brokers, topics: [], requestTimeout: "1 second" }),
    KafkaConsumer.layer({ brokers, heartbeatInterval: "200 millis", sessionTimeout: "6 seconds", ...options })
  )

const publish = (some: ReadonlyArray<Message>) => Effect.flatMap(MessagePublisher, ({ publish }) => publish(some))

const persistently = (some: ReadonlyArray<Message>) =>
  Effect.retry(publish(some), {
    schedule: Schedule.spaced("100 millis"),
    while: (error) => error._tag === "PublishTransient"
  })

const got = (reading: Reading, count: number) =>
  reading.until(() => new Set(reading.messages().map(number)).size >= count)

// of its own, to do harm to
const kafka = await startKafka()
afterAll(() => kafka.stop())
const [node] = kafka.nodes

const harm = (name: string, test: (broker: StartedNode) => Effect.Effect<void, unknown, Scope.Scope>): void => {
  if (node === undefined) it.skip(`${name} (not claimed: a broker that is a process of ours)`, () => {})
  else it.live(name, () => test(node), 60_000)
}

describe("when the broker", () => {
  harm("does not answer a send, what is sent next is not lost for having its sequence numbers", (broker) =>
    Effect.gen(function* () {
      const topic = fresh("stopped")
      yield* persistently(messages(topic, 0, 24))
      yield* Effect.promise(() => broker.kill("SIGSTOP"))
      const failure = yield* Effect.flip(publish(messages(topic, 24, 24)))
      assert.strictEqual(failure._tag, "PublishTransient")
      yield* Effect.promise(() => broker.kill("SIGCONT"))
      yield* persistently(messages(topic, 48, 24))
      yield* persistently(messages(topic, 24, 24))
      const reading = yield* read({ topic, group: fresh("group") })
      yield* got(reading, 72)
    }).pipe(Effect.ensuring(Effect.promise(() => broker.kill("SIGCONT"))), Effect.provide(layers([broker.address])))
  )

  harm("dies and comes back, publisher and subscriber go on by themselves", (broker) =>
    Effect.gen(function* () {
      const topic = fresh("restarted")
      const reading = yield* read({ topic, group: fresh("group") })
      yield* persistently(messages(topic, 0, 100))
      yield* got(reading, 100)
      yield* Effect.promise(() => broker.kill("SIGKILL"))
      const failure = yield* Effect.flip(publish(messages(topic, 100, 100)))
      assert.strictEqual(failure._tag, "PublishTransient")
      yield* Effect.promise(() => broker.restart())
      yield* persistently(messages(topic, 100, 100))
      yield* got(reading, 200)
    }).pipe(Effect.provide(layers([broker.address])))
  )

  harm("is not there at the start, they wait for it and readiness says so", (broker) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => broker.kill("SIGKILL"))
      yield* Effect.gen(function* () {
        const { ready } = yield* MessagePublisher
        const topic = fresh("late")
        const reading = yield* read({ topic, group: fresh("group") })
        const failure = yield* Effect.flip(ready)
        assert.strictEqual(failure._tag, "PublishTransient")
        yield* Effect.promise(() => broker.restart())
        yield* Effect.retry(ready, Schedule.spaced("100 millis"))
        yield* persistently(messages(topic, 0, 24))
        yield* got(reading, 24)
      }).pipe(Effect.provide(layers([broker.address])))
    })
  )
})

describe("a Kafka subscription", () => {
  const shared = inject("kafkaBrokers").split(",")
  const client = new Kafka({ brokers: shared, logLevel: logLevel.NOTHING })

  it.live("finishes what it has in hand before its partitions go to a new member", () =>
    Effect.gen(function* () {
      const topic = fresh("joined")
      const group = fresh("group")
      const admin = client.admin()
      yield* Effect.acquireRelease(
        Effect.promise(() => admin.connect()),
        () => Effect.promise(() => admin.disconnect())
      )
      const rebalancing = Effect.promise(async () => {
        const { groups } = await admin.describeGroups([group])
        return groups[0]?.state === ("PreparingRebalance" satisfies ConsumerGroupState)
      })
      yield* persistently(messages(topic, 0, 240))
      const all = yield* read({ topic, group: fresh("all") })
      yield* got(all, 240)
      const partitions = new Set(all.batches().map(({ partition }) => partition)).size
      const first = yield* read({ topic, group }, { acknowledge: false })
      yield* first.until(() => first.batches().length === partitions)
      const second = yield* read({ topic, group })
      yield* Effect.repeat(rebalancing, { until: (yes) => yes, schedule: Schedule.spaced("20 millis") })
      const inHand = first.messages()
      assert.isBelow(inHand.length, 240)
      for (const batch of first.batches()) yield* batch.acknowledge
      // what comes to the first after that, before or after the rebalance, it gives back
      yield* first.close
      yield* got(second, 240 - inHand.length)
      assert.deepStrictEqual(sorted([...inHand, ...second.messages()]), countingTo(240))
    }).pipe(Effect.provide(layers(shared, { maxBatch: 10, drainTimeout: "2 seconds" })))
  )

  it.live("waits for the group's leader as long as the group does, then goes on without it", () => {
    const warnings: Array<unknown> = []
    const listening = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn") warnings.push(message)
    })
    return Effect.gen(function* () {
      const topic = fresh("leaderless")
      const group = fresh("group")
      yield* persistently(messages(topic, 0, 100))
      // leads from its first join, then falls silent while the others wait for its assignment, as one that is killed
      let assignments = 0
      const { resolve: fallSilent, promise: silent } = Promise.withResolvers<void>()
      const leader = client.consumer({
        groupId: group,
        sessionTimeout: 6_000,
        heartbeatInterval: 200,
        partitionAssigners: [
          (config) => {
            const { assign, ...assigner } = PartitionAssigners.roundRobin(config)
            return {
              ...assigner,
              assign: (members) => {
                assignments++
                if (assignments === 1) return assign(members)
                fallSilent()
                return new Promise(() => {})
              }
            }
          }
        ]
      })
      const leads = new Promise((joined) => leader.on(leader.events.GROUP_JOIN, joined))
      yield* Effect.promise(async () => {
        await leader.connect()
        await leader.subscribe({ topic })
        await leader.run({ autoCommit: false, eachBatch: async () => {} })
        await leads
      })
      const reading = yield* read({ topic, group })
      yield* Effect.promise(() => silent)
      yield* got(reading, 100)
      assert.deepStrictEqual(warnings, [])
    }).pipe(Effect.provide(layers(shared, { requestTimeout: "2 seconds" })), Effect.provide(Logger.layer([listening])))
  })

  it.live("fails at once when its configuration is impossible", () =>
    Effect.gen(function* () {
      const { subscribe } = yield* MessageConsumer
      const failure = yield* Effect.flip(Stream.runDrain(subscribe({ topic: fresh("topic"), group: "" })))
      assert.strictEqual(failure._tag, "ConsumerUnavailable")
    }).pipe(Effect.provide(layers(shared)))
  )

  it.live("fails at once when the brokers don't allow its session timeout", () =>
    Effect.gen(function* () {
      const { subscribe } = yield* MessageConsumer
      const failure = yield* Effect.flip(Stream.runDrain(subscribe({ topic: fresh("topic"), group: fresh("group") })))
      assert.include(String(failure.cause), "INVALID_SESSION_TIMEOUT")
    }).pipe(Effect.provide(layers(shared, { sessionTimeout: "31 minutes" })))
  )

  it.live("understands messages without key, headers or value, and headers that come twice", () =>
    Effect.gen(function* () {
      const topic = fresh("reference")
      yield* persistently(messages(topic, 0, 1))
      const producer = client.producer()
      yield* Effect.acquireRelease(
        Effect.promise(() => producer.connect()),
        () => Effect.promise(() => producer.disconnect())
      )
      yield* Effect.promise(() =>
        producer.send({
          topic,
          messages: [
            { value: '{"id":"53150a25-02f1-540a-99e7-48e267fd6d13"}' },
            { value: null, key: "tombstone" },
            { value: "twice", headers: { ce_id: ["first", "last"] } }
          ]
        })
      )
      const reading = yield* read({ topic, group: fresh("group") })
      yield* reading.until(() => reading.messages().length === 4)
      const find = (text: string) =>
        reading.messages().find(({ value }) => new TextDecoder().decode(value).startsWith(text))
      assert.isUndefined(find("{")?.key)
      assert.deepStrictEqual(find("{")?.headers, {})
      assert.strictEqual(reading.messages().find(({ key }) => key === "tombstone")?.value.byteLength, 0)
      assert.deepStrictEqual(find("twice")?.headers, { ce_id: "last" })
    }).pipe(Effect.provide(layers(shared)))
  )
})
