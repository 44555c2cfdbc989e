/** The messages of the messaging laws, which are told apart by their texts. */
import type { Message } from "@invoice/core/Message"
import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Effect, type Fiber, Schedule, type Scope } from "effect"
import type { Reading } from "./Reading.ts"

export const fresh = (what: string): string => `contract-${what}-${crypto.randomUUID()}`

export const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const message = (topic: string, key: string | undefined, text: string): Message => ({
  topic,
  key,
  value: encoder.encode(text),
  headers: {}
})

export const texts = (messages: ReadonlyArray<Message>): ReadonlyArray<string> =>
  messages.map(({ value }) => decoder.decode(value))

export const numbered = (topic: string, key: string | undefined, from: number, count: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => message(topic, key, `${from + index}`))

/** The key's messages as numbers, each at its first delivery: the port promises only at least once, also under load. */
export const numbers = (messages: ReadonlyArray<Message>, key?: string): ReadonlyArray<number> => [
  ...new Set(texts(key === undefined ? messages : messages.filter((one) => one.key === key)).map(Number))
]

export const countingTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

/** Publishes as the relay does: again after a transient failure. */
export const publish = (messages: ReadonlyArray<Message>): Effect.Effect<void, unknown, MessagePublisher> =>
  Effect.flatMap(MessagePublisher, (publisher) =>
    Effect.retry(publisher.publish(messages), {
      schedule: Schedule.spaced("100 millis"),
      while: (error) => error._tag === "PublishTransient"
    })
  )

/** Publishes in the background, for adapters whose publish waits for subscribers. */
export const publishing = (
  messages: ReadonlyArray<Message>
): Effect.Effect<Fiber.Fiber<void, unknown>, never, MessagePublisher | Scope.Scope> =>
  Effect.forkScoped(publish(messages))

export const ascending = (self: number, that: number): number => self - that

/** The partition and offset of each message, by its text. */
export const places = (batches: ReadonlyArray<MessageBatch>): Map<string | undefined, string> =>
  new Map(
    batches.flatMap(({ messages, offsets, partition }) =>
      texts(messages).map((text, index) => [text, `${partition}/${offsets[index]}`] as const)
    )
  )

/** Waits until so many different messages have come. */
export const gotAll = (reading: Reading, count: number) =>
  reading.until(() => {
    const places = reading
      .batches()
      .flatMap(({ offsets, partition }) => offsets.map((offset) => `${partition}/${offset}`))
    return new Set(places).size >= count
  })
