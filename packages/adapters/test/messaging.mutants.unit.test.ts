/** The contract has teeth: each broken broker here fails the law that it breaks. */

import { assert, describe, it } from "@effect/vitest"
import type { Message } from "@invoice/core/InvoiceEvent"
import { type MessageBatch, MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { laws } from "@invoice/testing/MessagingContract"
import { Context, Effect, Exit, Layer, Semaphore, Stream } from "effect"
import * as Broker from "../src/memory/Broker.ts"

type Publisher = MessagePublisher["Service"]
type Consumer = MessageConsumer["Service"]
type Reader = TopicReader["Service"]

interface Mutant {
  readonly publisher?: (publisher: Publisher) => Partial<Publisher>
  readonly consumer?: (consumer: Consumer) => Consumer
  readonly reader?: (reader: Reader) => Reader
}

/** The good in-process broker with a fault put before it. */
const broken = (mutant: Mutant): Layer.Layer<MessagePublisher | MessageConsumer | TopicReader> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const services = yield* Layer.build(Broker.layer())
      const publisher = Context.get(services, MessagePublisher)
      const consumer = Context.get(services, MessageConsumer)
      const reader = Context.get(services, TopicReader)
      return Context.make(MessagePublisher, { ...publisher, ...mutant.publisher?.(publisher) }).pipe(
        Context.add(MessageConsumer, mutant.consumer?.(consumer) ?? consumer),
        Context.add(TopicReader, mutant.reader?.(reader) ?? reader)
      )
    })
  )

const publishes = (change: (messages: ReadonlyArray<Message>) => ReadonlyArray<Message>): Mutant => ({
  publisher: ({ publish }) => ({ publish: (messages) => publish(change(messages)) })
})

const hands = (change: (batch: MessageBatch) => MessageBatch): Mutant => ({
  consumer: ({ subscribe }) => ({ subscribe: (subscription) => Stream.map(subscribe(subscription), change) })
})

const law = {
  offsets: "offsets rise within a partition, and each batch begins where the one before ends",
  kept: "a message keeps its offset when it comes again, to this group or another",
  held: "a batch is held until it is acknowledged or rewound, and no longer",
  rewound: "a rewound partition goes on at the offset that was asked for",
  outlasts: "a rewind outlasts its subscription",
  stuck: "a batch that is held for long holds up no other partition",
  look: "a look at a topic shows all that it holds, ends there, and takes nothing from any group"
}

const mutants: ReadonlyArray<{
  readonly fault: string
  readonly mutant: Mutant
  readonly fails: ReadonlyArray<string>
}> = [
  {
    fault: "sends a batch backwards",
    mutant: publishes((messages) => messages.toReversed()),
    fails: ["messages of one key arrive from one partition in the order they were published"]
  },
  {
    fault: "spreads the messages of a key over the partitions",
    mutant: publishes((messages) => messages.map((message, index) => ({ ...message, key: `${message.key}-${index}` }))),
    fails: ["messages of one key arrive from one partition in the order they were published"]
  },
  {
    fault: "drops the last message of a batch",
    mutant: publishes((messages) => messages.slice(0, -1)),
    fails: [
      "one publish carries messages to several topics",
      "every group receives every message, also what was published before its first subscription"
    ]
  },
  {
    fault: "sends every message twice",
    mutant: publishes((messages) => [...messages, ...messages]),
    fails: ["what two subscribers of a group share comes once, though the second one joins later"]
  },
  {
    fault: "takes values for text",
    mutant: publishes((messages) =>
      messages.map((message) => ({
        ...message,
        value: new TextEncoder().encode(new TextDecoder().decode(message.value))
      }))
    ),
    fails: ["a message keeps its key, its value and its headers, whatever they hold"]
  },
  {
    fault: "takes no key for an empty one",
    mutant: publishes((messages) => messages.map((message) => ({ ...message, key: message.key ?? "" }))),
    fails: ["a message keeps its key, its value and its headers, whatever they hold"]
  },
  {
    fault: "forgets the headers",
    mutant: publishes((messages) => messages.map((message) => ({ ...message, headers: {} }))),
    fails: ["a message keeps its key, its value and its headers, whatever they hold"]
  },
  {
    fault: "sends everything to the first topic",
    mutant: publishes((messages) => messages.map((message) => ({ ...message, topic: messages[0]?.topic ?? "" }))),
    fails: ["one publish carries messages to several topics"]
  },
  {
    fault: "acknowledges before the batch is handled",
    mutant: {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) => Stream.tap(subscribe(subscription), (batch) => batch.acknowledge)
      })
    },
    fails: [
      "the next batch of a partition waits for the acknowledgement of the one before",
      "a batch that was not acknowledged comes again, in order, to the next subscriber",
      "interruption in the middle of a batch releases it",
      "publish resolves only when the group has acknowledged, through whichever subscriber"
    ]
  },
  {
    fault: "does not hear an acknowledgement",
    mutant: {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) =>
          Stream.map(subscribe(subscription), (batch) => ({ ...batch, acknowledge: Effect.void }))
      })
    },
    fails: ["what was acknowledged does not come again"]
  },
  {
    fault: "has one group for all",
    mutant: {
      consumer: ({ subscribe }) => ({ subscribe: ({ topic }) => subscribe({ topic, group: "the one" }) })
    },
    fails: ["every group receives every message, also what was published before its first subscription"]
  },
  {
    fault: "gives every subscriber a group of its own",
    mutant: {
      consumer: ({ subscribe }) => ({
        subscribe: ({ topic, group }) => subscribe({ topic, group: `${group}-${crypto.randomUUID()}` })
      })
    },
    fails: [
      "what two subscribers of a group share comes once, though the second one joins later",
      "what was acknowledged does not come again"
    ]
  },
  {
    fault: "resolves publish before anyone has the batch",
    mutant: {
      publisher: ({ publish }) => ({ publish: (messages) => Effect.asVoid(Effect.forkDetach(publish(messages))) })
    },
    fails: ["publish resolves only when the group has acknowledged, through whichever subscriber"]
  },
  {
    fault: "keeps nothing for a group that subscribes later",
    mutant: {
      publisher: ({ publish }) => {
        const subscribed = new Set<string>()
        return {
          publish: (messages) =>
            publish(messages.filter(({ topic }) => subscribed.has(topic) || subscribed.add(topic).size < 0))
        }
      }
    },
    fails: ["every group receives every message, also what was published before its first subscription"]
  },
  {
    fault: "gives all messages of a batch the offset of the first",
    mutant: hands((batch) => ({ ...batch, offsets: batch.offsets.map(() => batch.from) })),
    fails: [law.offsets]
  },
  {
    fault: "says that a batch begins with the partition",
    mutant: hands((batch) => ({ ...batch, from: "0" })),
    fails: [law.offsets]
  },
  {
    fault: "counts offsets anew for every subscriber",
    mutant: {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) =>
          Stream.suspend(() => {
            let count = 0
            return Stream.map(subscribe(subscription), (batch) => ({
              ...batch,
              offsets: batch.offsets.map(() => `${count++}`)
            }))
          })
      })
    },
    fails: [law.kept]
  },
  {
    fault: "says for ever that a batch is held",
    mutant: hands((batch) => ({ ...batch, isHeld: Effect.succeed(true) })),
    fails: [law.held]
  },
  {
    fault: "never says that a batch is held",
    mutant: hands((batch) => ({ ...batch, isHeld: Effect.succeed(false) })),
    fails: [law.held, law.stuck]
  },
  {
    fault: "does not hear a rewind",
    mutant: hands((batch) => ({ ...batch, rewind: () => Effect.void })),
    fails: [law.held, law.rewound, law.outlasts]
  },
  {
    fault: "takes a rewind for an acknowledgement",
    mutant: hands((batch) => ({ ...batch, rewind: () => batch.acknowledge })),
    fails: [law.rewound, law.outlasts]
  },
  {
    fault: "rewinds to the beginning",
    mutant: hands((batch) => ({ ...batch, rewind: () => batch.rewind("0") })),
    fails: [law.rewound, law.outlasts]
  },
  {
    fault: "has one batch in hand at a time",
    mutant: {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) =>
          Stream.suspend(() => {
            const free = Semaphore.makeUnsafe(1)
            return Stream.mapEffect(subscribe(subscription), (batch) =>
              Effect.as(free.take(1), { ...batch, acknowledge: Effect.andThen(batch.acknowledge, free.release(1)) })
            )
          })
      })
    },
    fails: [law.stuck]
  },
  {
    fault: "shows in a look only the first messages",
    mutant: { reader: ({ read }) => ({ read: (topic) => Stream.take(read(topic), 40) }) },
    fails: [law.look]
  },
  {
    fault: "looks through a group that takes what it sees",
    mutant: {
      reader: ({ read }) => {
        const seen = new Set<string>()
        return {
          read: (topic) =>
            Stream.filter(read(topic), ({ offset, partition }) => {
              const place = `${topic} ${partition}/${offset}`
              return !seen.has(place) && seen.add(place).size > 0
            })
        }
      }
    },
    fails: [law.look]
  }
]

describe("a broker that", () => {
  for (const { fault, mutant, fails } of mutants) {
    for (const name of fails) {
      it.live(`${fault} fails "${name}"`, () =>
        Effect.gen(function* () {
          const found = laws(broken(mutant), { patience: "400 millis" }).find((one) => one.name === name)
          assert.isDefined(found, "the contract has this law")
          const exit = yield* Effect.exit(found?.law ?? Effect.void)
          assert.isTrue(Exit.isFailure(exit), "the law does not see the fault")
        })
      )
    }
  }
})
