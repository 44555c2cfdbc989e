/** A member whose try to join its group again fails, or whose connection goes dead, is back by itself. */
import { describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { type Reading, read } from "@invoice/testing/Reading"
import { Effect, Layer, Schedule } from "effect"
import { Kafka, logLevel } from "kafkajs"
import { inject } from "vitest"
import { KafkaConsumer, KafkaPublisher } from "../src/kafka/index.ts"
import { type Api, type Fate, Frames } from "./Frames.ts"

const brokers = inject("kafkaBrokers").split(",")

const fresh = (what: string): string => `rejoin-${what}-${crypto.randomUUID()}`

const notLeader = 6
const coordinatorLoading = 14

const messages = (topic: string, from: number): ReadonlyArray<Message> =>
  Array.from({ length: 24 }, (_, index) => ({
    topic,
    key: `${index}`,
    value: new TextEncoder().encode(`${from + index}`),
    headers: {}
  }))

/** Until the broker knows the new topic. */
const publish = (some: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, ({ publish }) => Effect.retry(publish(some), Schedule.spaced("50 millis")))

const got = (reading: Reading, count: number) =>
  reading.until(() => new Set(reading.messages().map(({ value }) => new TextDecoder().decode(value))).size >= count)

const layers = (frames: Frames) => {
  const kafka = new Kafka({
    brokers,
    logLevel: logLevel.NOTHING,
    socketFactory: frames.socketFactory,
    requestTimeout: 4_000,
    retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 }
  })
  return Layer.merge(
    KafkaPublisher.layer({ brokers, topics: [] }),
    KafkaConsumer.consumerOver(kafka, { heartbeatInterval: "200 millis", sessionTimeout: "3 seconds" })
  )
}

const scene = (name: string, fates: ReadonlyArray<readonly [Api, Fate]>): void => {
  const frames = new Frames()
  it.live(name, () =>
    Effect.gen(function* () {
      const topic = fresh("topic")
      const reading = yield* read({ topic, group: fresh("group") })
      yield* publish(messages(topic, 0))
      yield* got(reading, 24)
      for (const [api, fate] of fates) frames.next(api, fate)
      yield* Effect.repeat(
        Effect.sync(() => frames.caught >= fates.length),
        { until: (all) => all, schedule: Schedule.spaced("20 millis") }
      )
      yield* publish(messages(topic, 24))
      yield* got(reading, 48)
    }).pipe(Effect.scoped, Effect.provide(layers(frames)))
  )
}

describe("a member that fetches from a broker which is no longer the leader goes on, though", () => {
  scene("the coordinator is loading when it joins", [
    ["fetch", notLeader],
    ["joinGroup", coordinatorLoading]
  ])
  scene("the coordinator is loading three times", [
    ["fetch", notLeader],
    ["joinGroup", coordinatorLoading],
    ["joinGroup", coordinatorLoading],
    ["joinGroup", coordinatorLoading]
  ])
  scene("the connection ends when it joins", [
    ["fetch", notLeader],
    ["joinGroup", "cut"]
  ])
  scene("the coordinator is loading when it asks for its partitions", [
    ["fetch", notLeader],
    ["syncGroup", coordinatorLoading]
  ])
  scene("the connection ends when it looks for the coordinator", [
    ["fetch", notLeader],
    ["findCoordinator", "cut"]
  ])
  scene("it is never told who the coordinator is", [
    ["fetch", notLeader],
    ["findCoordinator", "deaden"]
  ])
})

describe("a member goes on", () => {
  scene("when the connection that it fetches through goes dead", [["fetch", "deaden"]])
  scene("when the connection to the coordinator goes dead", [["heartbeat", "deaden"]])
})
