/** The validator program with layers of your own: your profile, and a publisher that logs dead letters. */
import { KafkaConsumer, KafkaPublisher } from "@invoice/adapters/kafka"
import { MessagePublisher, ProfileValidator } from "@invoice/core"
import { Main, Validator } from "@invoice/runtime-node"
import { Effect, Layer } from "effect"
import { acme } from "./acme.ts"

const kafka = { brokers: (process.env["KAFKA_BROKERS"] ?? "127.0.0.1:9092").split(",") }

const loggingPublisher = Layer.effect(
  MessagePublisher,
  Effect.map(MessagePublisher, ({ publish, ready }) => ({
    publish: (messages) => Effect.andThen(Effect.logWarning(`${messages.length} dead letters`), publish(messages)),
    ready
  }))
).pipe(Layer.provide(KafkaPublisher.layer({ ...kafka, topics: [] })))

const layers = {
  validator: ProfileValidator.layer(acme),
  broker: Layer.merge(loggingPublisher, KafkaConsumer.layer(kafka))
}

// the settings decide everything else, such as the store: `DATABASE_URL` or `STORAGE_ADDRESS`
Main.start("validator", (settings) => Validator.make(settings, layers))
