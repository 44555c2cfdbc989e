/** What the publisher believes and what it refuses to believe, over a model of brokers under kafkajs' own producer. */
import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/InvoiceEvent"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Effect } from "effect"
import { KafkaPublisher } from "../src/kafka/index.ts"
import { KafkaModel } from "./KafkaModel.ts"

const message = (topic: string, key: string | undefined, text: string): Message => ({
  topic,
  key,
  value: new TextEncoder().encode(text),
  headers: {}
})

const numbered = (topic: string, count: number, from = 0): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => message(topic, `k${index}`, `${from + index}`))

const texts = (messages: ReadonlyArray<Message>): ReadonlyArray<string> =>
  messages.map(({ value }) => new TextDecoder().decode(value))

const over = (kafka: KafkaModel) => KafkaPublisher.publisherOver(kafka, { topics: [] })

const publish = (messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

/** As the relay does it: all of it again until it is there. */
const persistently = (messages: ReadonlyArray<Message>) =>
  Effect.retry(publish(messages), { times: 5, while: (error) => error._tag === "PublishTransient" })

const holds = (kafka: KafkaModel, topic: string, messages: ReadonlyArray<Message>) =>
  assert.deepStrictEqual([...new Set(kafka.texts(topic))].toSorted(), [...texts(messages)].toSorted())

describe("a publish", () => {
  it.live("does not succeed while records of a partition whose leader moved were never sent", () => {
    const kafka = new KafkaModel(2)
    const { partitions } = kafka.create("t", 6)
    const messages = numbered("t", 60)
    return Effect.gen(function* () {
      // the second broker hears of it before the client does, and the first has answered by then
      let moves = 1
      kafka.arriving = async (broker) => {
        if (broker !== 2 || moves-- <= 0) return
        await Promise.resolve()
        for (const partition of partitions) partition.leader = 1
      }
      yield* persistently(messages)
      holds(kafka, "t", messages)
    }).pipe(Effect.provide(over(kafka)))
  })
})
