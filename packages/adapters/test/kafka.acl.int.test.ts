/** Rights that are taken away from a topic: an outage until somebody grants them again. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Effect, Logger, Schedule } from "effect"
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } from "kafkajs"
import { afterAll, inject } from "vitest"
import { KafkaPublisher } from "../src/kafka/index.ts"

const brokers = inject("kafkaBrokers").split(",")
const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()

const right = (topic: string, operation: AclOperationTypes, permissionType: AclPermissionTypes) => ({
  resourceType: AclResourceTypes.TOPIC,
  resourceName: topic,
  resourcePatternType: ResourcePatternTypes.LITERAL,
  principal: "User:*",
  host: "*",
  operation,
  permissionType
})

const revoke = (topic: string) =>
  Effect.promise(() =>
    admin.createAcls({
      acl: [
        right(topic, AclOperationTypes.WRITE, AclPermissionTypes.DENY),
        // who has no right at all is not even told that the topic exists
        right(topic, AclOperationTypes.READ, AclPermissionTypes.ALLOW)
      ]
    })
  )

const grant = (topic: string) =>
  Effect.promise(() => admin.deleteAcls({ filters: [right(topic, AclOperationTypes.ANY, AclPermissionTypes.ANY)] }))

const message = (topic: string, text: string): Message => ({
  topic,
  key: "k",
  value: new TextEncoder().encode(text),
  headers: {}
})

const publish = (...messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

const topicOf = (what: string): string => `acl-${crypto.randomUUID()}${what}`

await admin.connect()
afterAll(() => admin.disconnect())

/** A broker that KAFKA_BROKERS names may have none. */
const hasAuthorizer = await admin.describeAcls(right("any", AclOperationTypes.ANY, AclPermissionTypes.ANY)).then(
  () => true,
  () => false
)

const scene = (name: string, test: () => Effect.Effect<void, unknown>): void => {
  if (hasAuthorizer) it.live(name, test)
  else it.skip(`${name} (not claimed: brokers with an authorizer)`, () => {})
}

describe("a right to write that is revoked", () => {
  for (const suffix of ["", ".dlq"]) {
    scene(`is an outage of the topic (…${suffix}), and the log says what to grant`, () => {
      const topic = topicOf(suffix)
      const warnings: Array<string> = []
      const listening = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message))
      })
      return Effect.gen(function* () {
        yield* publish(message(topic, "0"))
        yield* revoke(topic)
        // a broker hears of it a moment later
        const failure = yield* Effect.flip(Effect.repeat(publish(message(topic, "1")), Schedule.spaced("20 millis")))
        assert.strictEqual(failure._tag, "PublishTransient")
        assert.isTrue(warnings.some((one) => one.includes(`grant this client Write on ${topic}`)))
        yield* grant(topic)
        yield* Effect.retry(publish(message(topic, "2")), Schedule.spaced("20 millis"))
      }).pipe(Effect.provide(KafkaPublisher.layer({ brokers, topics: [] })), Effect.provide(Logger.layer([listening])))
    })
  }
})
