/** In-process brokers with faults, and the laws that they may break. */
import { PublishRefused } from "@invoice/core/InvoiceError"
import type { Message } from "@invoice/core/Message"
import { type MessageBatch, MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Context, Effect, Layer, Stream } from "effect"
import * as Broker from "../../src/memory/Broker.ts"
import type { Mutant } from "./Suite.ts"

type Publisher = MessagePublisher["Service"]
type Consumer = MessageConsumer["Service"]
type Reader = TopicReader["Service"]

export type Ports = Layer.Layer<MessagePublisher | MessageConsumer | TopicReader>

export interface Fault {
  readonly publisher?: (publisher: Publisher) => Partial<Publisher>
  readonly consumer?: (consumer: Consumer) => Consumer
  readonly reader?: (reader: Reader) => Reader
}

/** Marks a message that a refusing broker never takes. */
const mark = "never"

export const refusable = (topic: string, key: string): Effect.Effect<Message> =>
  Effect.succeed({ topic, key, value: Uint8Array.of(0), headers: { [mark]: "yes" } })

export const isRefused = ({ headers }: Message): boolean => headers[mark] !== undefined

const placeOf = ({ key, topic }: Message): string => JSON.stringify([topic, key])

/** What is durable of a batch, and what is refused of it. */
export const divide = (messages: ReadonlyArray<Message>, place = placeOf) => {
  const refused: Array<{ readonly index: number; readonly reason: string }> = []
  const behind = new Set<string>()
  const taken = messages.filter((message, index) => {
    const isFirst = isRefused(message)
    if (isFirst) refused.push({ index, reason: "is marked" })
    if (isFirst) behind.add(place(message))
    return !behind.has(place(message))
  })
  return { taken, refused }
}

/** Refuses messages that are marked, as the port says it. */
const refusing = (publisher: Publisher): Publisher => ({
  ...publisher,
  publish: (messages) => {
    const { refused, taken } = divide(messages)
    return Effect.andThen(
      publisher.publish(taken),
      refused.length === 0 ? Effect.void : Effect.fail(new PublishRefused({ records: refused }))
    )
  }
})

/** A refusing in-process broker with a fault put before it, anew for every instance of it. */
export const broken = (fault: Fault, broker: Ports = Broker.layer()): Ports =>
  Layer.effectContext(
    Effect.gen(function* () {
      const services = yield* Layer.build(broker)
      const publisher = refusing(Context.get(services, MessagePublisher))
      const consumer = Context.get(services, MessageConsumer)
      const reader = Context.get(services, TopicReader)
      return Context.make(MessagePublisher, { ...publisher, ...fault.publisher?.(publisher) }).pipe(
        Context.add(MessageConsumer, fault.consumer?.(consumer) ?? consumer),
        Context.add(TopicReader, fault.reader?.(reader) ?? reader)
      )
    })
  )

/** A broker that outlives its layer, as a cluster does: every layer built of it is one more instance. */
export const shared = (): Ports => Layer.succeedContext(Effect.runSync(Effect.scoped(Layer.build(Broker.layer()))))

export const mutant = (fault: string, how: Fault, ...fails: ReadonlyArray<string>): Mutant<Ports> => ({
  fault,
  make: () => broken(how),
  fails
})

/** It shows by something that never happens. */
export const stalling = (fault: string, how: Fault, ...fails: ReadonlyArray<string>): Mutant<Ports> => ({
  ...mutant(fault, how, ...fails),
  waits: true
})

export const publishes = (change: (messages: ReadonlyArray<Message>) => ReadonlyArray<Message>): Fault => ({
  publisher: ({ publish }) => ({ publish: (messages) => publish(change(messages)) })
})

export const hands = (change: (batch: MessageBatch) => MessageBatch): Fault => ({
  consumer: ({ subscribe }) => ({ subscribe: (subscription) => Stream.map(subscribe(subscription), change) })
})

/** The laws of `MessagingContract`. */
export const law = {
  ready: "the publisher becomes ready",
  order: "messages of one key arrive from one partition in the order they were published",
  content: "a message keeps its key, its value and its headers, whatever they hold",
  topics: "one publish carries messages to several topics",
  groups: "every group receives every message, also what was published before its first subscription",
  pressure: "the next batch of a partition waits for the acknowledgement of the one before",
  again: "a batch that was not acknowledged comes again, in order, to the next subscriber",
  interrupted: "interruption in the middle of a batch releases it",
  acknowledged: "what was acknowledged does not come again",
  offsets: "offsets rise within a partition, and each batch begins where the one before ends",
  kept: "a message keeps its offset when it comes again, to this group or another",
  held: "a batch is held until it is acknowledged or rewound, and no longer",
  rewound: "a rewound partition goes on at the offset that was asked for",
  outlasts: "a rewind outlasts its subscription",
  stuck: "a batch that is held for long holds up no other partition",
  look: "a look at a topic shows all that it holds, ends there, and takes nothing from any group",
  refused:
    "every record that is refused is named, and all others are durable but those behind one of its topic and key",
  refusedAgain: "a record that is refused is refused again, and one among many is found",
  shared: "two subscribers of a group share a topic and nothing is lost",
  sharedOnce: "what two subscribers of a group share comes once, though the second one joins later",
  handled: "publish resolves only when the group has acknowledged, through whichever subscriber",
  durable: "messages and acknowledgements outlive the instance that took them",
  instances: "a group is shared between instances: when one goes, the other takes over what it held"
}
