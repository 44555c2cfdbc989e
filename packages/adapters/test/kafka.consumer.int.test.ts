/** What a Kafka subscription does while a handler takes long, when the group changes, and when it ends. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { type Reading, read } from "@invoice/testing/Reading"
import { Clock, Effect, Layer, Schedule } from "effect"
import { type Admin, type ConsumerGroupState, Kafka, logLevel } from "kafkajs"
import { inject } from "vitest"
import { KafkaConsumer, KafkaPublisher } from "../src/kafka/index.ts"

const brokers = inject("kafkaBrokers").split(",")
const sessionMillis = 6_000

const layers = (options: Partial<KafkaConsumer.Options> = {}) =>
  Layer.merge(
    KafkaPublisher.layer({ brokers, topics: [] }),
    KafkaConsumer.layer({
      brokers,
      heartbeatInterval: "200 millis",
      sessionTimeout: `${sessionMillis} millis`,
      drainTimeout: "1 second",
      ...options
    })
  )

const fresh = (what: string): string => `consumer-${what}-${crypto.randomUUID()}`

const messages = (topic: string, count: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => ({
    topic,
    key: `${index}`,
    value: new TextEncoder().encode(`${index}`),
    headers: {}
  }))

const publish = (some: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => Effect.retry(publisher.publish(some), { times: 5 }))

const admin = Effect.acquireRelease(
  Effect.promise(async () => {
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    return admin
  }),
  (admin) => Effect.promise(() => admin.disconnect())
)

const groupState = (admin: Admin, group: string) =>
  Effect.promise(async () => {
    const { groups } = await admin.describeGroups([group])
    return { state: groups[0]?.state, members: (groups[0]?.members ?? []).map(({ memberId }) => memberId) }
  })

/** What the group has committed, of the partitions where it has. */
const committed = (admin: Admin, group: string, topic: string) =>
  Effect.promise(async () => {
    const [of] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    return new Map(of?.partitions.filter(({ offset }) => offset !== "-1").map((one) => [one.partition, one.offset]))
  })

const nexts = (reading: Reading) => new Map(reading.batches().map(({ next, partition }) => [partition, next]))

const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (yes) => yes, schedule: Schedule.spaced("20 millis") })

describe("a Kafka subscription", () => {
  it.live("stays a member while its handler takes longer than the session timeout", () =>
    Effect.gen(function* () {
      const [topic, group] = [fresh("long"), fresh("group")]
      const look = yield* admin
      yield* publish(messages(topic, 60))
      const slow = yield* read({ topic, group }, { acknowledge: false })
      yield* slow.until(() => slow.messages().length === 60)
      const { members } = yield* groupState(look, group)
      assert.strictEqual(members.length, 1)
      const begun = yield* Clock.currentTimeMillis
      yield* until(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* groupState(look, group), {
            state: "Stable" satisfies ConsumerGroupState,
            members
          })
          return (yield* Clock.currentTimeMillis) - begun > sessionMillis * 1.5
        })
      )
      for (const batch of slow.batches()) {
        assert.isTrue(yield* batch.isHeld)
        yield* batch.acknowledge
      }
      yield* until(Effect.map(committed(look, group, topic), ({ size }) => size === nexts(slow).size))
      assert.deepStrictEqual(yield* committed(look, group, topic), nexts(slow))
    }).pipe(Effect.scoped, Effect.provide(layers()))
  )

  it.live("commits what is acknowledged by itself, without waiting for the end or for more", () =>
    Effect.gen(function* () {
      const [topic, group] = [fresh("timer"), fresh("group")]
      const look = yield* admin
      yield* publish(messages(topic, 60))
      const reading = yield* read({ topic, group })
      yield* reading.until(() => reading.messages().length === 60)
      yield* until(
        Effect.map(committed(look, group, topic), (offsets) =>
          [...nexts(reading)].every(([partition, next]) => offsets.get(partition) === next)
        )
      )
    }).pipe(Effect.scoped, Effect.provide(layers()))
  )

  it.live("commits what is acknowledged when it ends", () =>
    Effect.gen(function* () {
      const [topic, group] = [fresh("end"), fresh("group")]
      const look = yield* admin
      yield* publish(messages(topic, 60))
      const reading = yield* read({ topic, group })
      yield* reading.until(() => reading.messages().length === 60)
      yield* reading.close
      assert.deepStrictEqual(yield* committed(look, group, topic), nexts(reading))
    }).pipe(Effect.scoped, Effect.provide(layers({ commitInterval: "1 hour" })))
  )

  it.live(
    "says that a batch is no longer held when a rebalance did not wait for it, and does not acknowledge it then",
    () =>
      Effect.gen(function* () {
        const [topic, group] = [fresh("lost"), fresh("group")]
        const look = yield* admin
        yield* publish(messages(topic, 60))
        const first = yield* read({ topic, group }, { acknowledge: false })
        yield* first.until(() => first.messages().length === 60)
        const held = first.batches()
        const second = yield* read({ topic, group }, { acknowledge: false })
        yield* second.until(() => second.messages().length > 0)
        for (const batch of held) {
          assert.isFalse(yield* batch.isHeld)
          yield* batch.acknowledge
        }
        yield* first.close
        yield* second.close
        assert.deepStrictEqual(yield* committed(look, group, topic), new Map())
      }).pipe(Effect.scoped, Effect.provide(layers()))
  )

  it.live("goes back before what the group has committed when it is rewound", () =>
    Effect.gen(function* () {
      const [topic, group] = [fresh("back"), fresh("group")]
      yield* publish(messages(topic, 60).map((one) => ({ ...one, key: "k" })))
      const first = yield* read({ topic, group })
      yield* first.until(() => first.messages().length === 60)
      yield* first.close
      yield* publish([{ topic, key: "k", value: new Uint8Array(), headers: {} }])
      const next = yield* read({ topic, group }, { acknowledge: false })
      yield* next.until(() => next.batches().length === 1)
      assert.deepStrictEqual(next.batches()[0]?.offsets, ["60"])
      yield* next.batches()[0]?.rewind("17") ?? Effect.void
      yield* next.until(() => next.batches().length === 2)
      const again = next.batches()[1]
      assert.deepStrictEqual([again?.from, again?.offsets[0], again?.next], ["17", "17", "61"])
    }).pipe(Effect.scoped, Effect.provide(layers()))
  )
})
