/** Three brokers whose leaders move while a publisher publishes: nothing that it acknowledged may be missing. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Clock, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { type Admin, Kafka, logLevel } from "kafkajs"
import { afterAll } from "vitest"
import { type StartedNode, startKafka } from "../../../test/infra/kafka/index.ts"
import { KafkaPublisher, KafkaReader } from "../src/kafka/index.ts"

const kafka = await startKafka({ brokers: 3 })
afterAll(() => kafka.stop())
const brokers = kafka.brokers.split(",")
const partitions = 6
const keys = 60

const live = Layer.merge(KafkaPublisher.layer({ brokers, topics: [] }), KafkaReader.layer({ brokers }))

const administered = Effect.acquireRelease(
  Effect.promise(async () => {
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 10 } }).admin()
    await admin.connect()
    return admin
  }),
  (admin) => Effect.promise(() => admin.disconnect())
)

/** One message of each key, all with the number of the round. */
const round = (topic: string, number: number): ReadonlyArray<Message> =>
  Array.from({ length: keys }, (_, index) => ({
    topic,
    key: `k${index}`,
    value: new TextEncoder().encode(`${number}`),
    headers: {}
  }))

/** Publishes rounds, each until it is acknowledged, and counts them. */
const publishing = (topic: string, acknowledged: { rounds: number }) =>
  Effect.forever(
    Effect.andThen(
      Effect.flatMap(MessagePublisher, ({ publish }) =>
        Effect.retry(publish(round(topic, acknowledged.rounds)), Schedule.spaced("50 millis"))
      ),
      Effect.sync(() => {
        acknowledged.rounds++
      })
    )
  )

interface Account {
  readonly lost: number
  readonly inversions: number
  readonly duplicates: number
}

/** What the topic lacks of the acknowledged rounds, and the messages that came for the first time behind a later one. */
const account = (topic: string, acknowledged: { readonly rounds: number }) =>
  Effect.gen(function* () {
    const latest = new Map<string, number>()
    const seen = new Set<string>()
    let inversions = 0
    let duplicates = 0
    yield* Stream.runForEach((yield* TopicReader).read(topic), ({ message: { key = "", value } }) =>
      Effect.sync(() => {
        const number = Number(new TextDecoder().decode(value))
        const name = `${key} ${number}`
        if (seen.has(name)) duplicates++
        else if (number < (latest.get(key) ?? -1)) inversions++
        seen.add(name)
        latest.set(key, Math.max(latest.get(key) ?? -1, number))
      })
    )
    let lost = 0
    for (let number = 0; number < acknowledged.rounds; number++) {
      for (let key = 0; key < keys; key++) if (!seen.has(`k${key} ${number}`)) lost++
    }
    return { lost, inversions, duplicates } satisfies Account
  })

/** Waits until every partition has this many replicas in sync. */
const inSync = (admin: Admin, topic: string, replicas: number) =>
  Effect.promise(async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics.flatMap((one) => one.partitions).every(({ isr }) => isr.length === replicas)
  }).pipe(Effect.repeat({ until: (all) => all, schedule: Schedule.spaced("100 millis") }))

/** Waits until a partition is where it was to go, and led there. */
const placed = (admin: Admin, topic: string, partition: number, replicas: ReadonlyArray<number>) =>
  Effect.promise(async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const found = topics.flatMap((one) => one.partitions).find(({ partitionId }) => partitionId === partition)
    return found?.replicas.length === replicas.length && replicas.includes(found.leader)
  }).pipe(Effect.repeat({ until: (there) => there, schedule: Schedule.spaced("20 millis") }))

const restarted = (node: StartedNode) =>
  Effect.promise(async () => {
    await node.kill("SIGTERM")
    await node.restart()
  })

/** Publishes while the leaders are moved. */
const through = (topic: string, move: (admin: Admin) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const admin = yield* administered
    yield* Effect.promise(() =>
      admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic,
            numPartitions: partitions,
            replicationFactor: 3,
            configEntries: [{ name: "min.insync.replicas", value: "2" }]
          }
        ]
      })
    )
    const acknowledged = { rounds: 0 }
    const writer = yield* Effect.forkScoped(publishing(topic, acknowledged))
    const begun = yield* Clock.currentTimeMillis
    yield* move(admin)
    const target = acknowledged.rounds + 20
    yield* Effect.repeat(
      Effect.sync(() => acknowledged.rounds >= target),
      { until: (yes) => yes, schedule: Schedule.spaced("20 millis") }
    )
    yield* Fiber.interrupt(writer)
    const found = yield* account(topic, acknowledged)
    const millis = (yield* Clock.currentTimeMillis) - begun
    yield* Effect.logInfo(`${acknowledged.rounds * keys} messages acknowledged in ${millis} ms`, found)
    assert.deepStrictEqual([found.lost, found.inversions], [0, 0])
  }).pipe(Effect.scoped, Effect.provide(live))

const scene = (name: string, move: (admin: Admin, topic: string) => Effect.Effect<void>): void => {
  const topic = `cluster-${crypto.randomUUID()}`
  if (kafka.nodes.length < 3) it.skip(`${name} (not claimed: brokers that are processes of ours)`, () => {})
  else it.live(name, () => through(topic, (admin) => move(admin, topic)), 120_000)
}

describe("nothing acknowledged is lost and no key's order inverted", () => {
  scene("while leaders are reassigned", (admin, topic) =>
    Effect.forEach(
      Array.from({ length: 10 * partitions }, (_, index) => index),
      (index) => {
        const first = Math.floor(index / partitions) % 3
        const replicas = [1 + first, 1 + ((first + 1) % 3)]
        return Effect.andThen(
          Effect.promise(() =>
            admin.alterPartitionReassignments({
              topics: [{ topic, partitionAssignment: [{ partition: index % partitions, replicas }] }]
            })
          ),
          placed(admin, topic, index % partitions, replicas)
        )
      },
      { discard: true }
    )
  )

  scene("while the brokers are restarted one after the other", (admin, topic) =>
    Effect.forEach(kafka.nodes, (node) => Effect.andThen(restarted(node), inSync(admin, topic, 3)), { discard: true })
  )
})
