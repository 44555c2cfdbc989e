/** Brokers that publish, hand out or share wrongly. */
import { PublishRefused, PublishTransient } from "@invoice/core/InvoiceError"
import type { Message } from "@invoice/core/Message"
import type { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Effect, Semaphore, Stream } from "effect"
import * as Broker from "../../src/memory/Broker.ts"
import {
  broken,
  divide,
  hands,
  isRefused,
  law,
  mutant,
  type Ports,
  publishes,
  shared,
  stalling
} from "./BrokenBroker.ts"
import type { Mutant } from "./Suite.ts"

export const brokers: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "sends a batch backwards",
    publishes((messages) => messages.toReversed()),
    law.order
  ),
  mutant(
    "spreads the messages of a key over the partitions",
    publishes((messages) => messages.map((message, index) => ({ ...message, key: `${message.key}-${index}` }))),
    law.order
  ),
  stalling(
    "drops the last message of a batch",
    publishes((messages) => messages.slice(0, -1)),
    law.topics,
    law.groups
  ),
  mutant(
    "sends every message twice",
    publishes((messages) => [...messages, ...messages]),
    law.sharedOnce
  ),
  mutant(
    "takes values for text",
    publishes((messages) =>
      messages.map((message) => ({
        ...message,
        value: new TextEncoder().encode(new TextDecoder().decode(message.value))
      }))
    ),
    law.content
  ),
  mutant(
    "takes no key for an empty one",
    publishes((messages) => messages.map((message) => ({ ...message, key: message.key ?? "" }))),
    law.content
  ),
  mutant(
    "forgets the headers",
    publishes((messages) => messages.map((message) => ({ ...message, headers: {} }))),
    law.content
  ),
  stalling(
    "sends everything to the first topic",
    publishes((messages) => messages.map((message) => ({ ...message, topic: messages[0]?.topic ?? "" }))),
    law.topics
  ),
  stalling(
    "acknowledges before the batch is handled",
    {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) => Stream.tap(subscribe(subscription), (batch) => batch.acknowledge)
      })
    },
    law.pressure,
    law.again,
    law.interrupted,
    law.handled
  ),
  mutant(
    "does not hear an acknowledgement",
    {
      consumer: ({ subscribe }) => ({
        subscribe: (subscription) =>
          Stream.map(subscribe(subscription), (batch) => ({ ...batch, acknowledge: Effect.void }))
      })
    },
    law.acknowledged
  ),
  stalling(
    "has one group for all",
    {
      consumer: ({ subscribe }) => ({ subscribe: ({ topic }) => subscribe({ topic, group: "the one" }) })
    },
    law.groups
  ),
  mutant(
    "gives every subscriber a group of its own",
    {
      consumer: ({ subscribe }) => ({
        subscribe: ({ topic, group }) => subscribe({ topic, group: `${group}-${crypto.randomUUID()}` })
      })
    },
    law.sharedOnce,
    law.acknowledged
  ),
  mutant(
    "resolves publish before anyone has the batch",
    {
      publisher: ({ publish }) => ({ publish: (messages) => Effect.asVoid(Effect.forkDetach(publish(messages))) })
    },
    law.handled
  ),
  stalling(
    "keeps nothing for a group that subscribes later",
    {
      publisher: ({ publish }) => {
        const subscribed = new Set<string>()
        return {
          publish: (messages) =>
            publish(messages.filter(({ topic }) => subscribed.has(topic) || subscribed.add(topic).size < 0))
        }
      }
    },
    law.groups
  ),
  stalling(
    "gives all messages of a batch the offset of the first",
    hands((batch) => ({ ...batch, offsets: batch.offsets.map(() => batch.from) })),
    law.offsets
  ),
  mutant(
    "says that a batch begins with the partition",
    hands((batch) => ({ ...batch, from: "0" })),
    law.offsets
  ),
  mutant(
    "counts offsets anew for every subscriber",
    {
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
    law.kept
  ),
  mutant(
    "says for ever that a batch is held",
    hands((batch) => ({ ...batch, isHeld: Effect.succeed(true) })),
    law.held
  ),
  mutant(
    "never says that a batch is held",
    hands((batch) => ({ ...batch, isHeld: Effect.succeed(false) })),
    law.held,
    law.stuck
  ),
  stalling(
    "does not hear a rewind",
    hands((batch) => ({ ...batch, rewind: () => Effect.void })),
    law.held,
    law.rewound,
    law.outlasts
  ),
  stalling(
    "takes a rewind for an acknowledgement",
    hands((batch) => ({ ...batch, rewind: () => batch.acknowledge })),
    law.rewound,
    law.outlasts
  ),
  mutant(
    "rewinds to the beginning",
    hands((batch) => ({ ...batch, rewind: () => batch.rewind("0") })),
    law.rewound,
    law.outlasts
  ),
  stalling(
    "has one batch in hand at a time",
    {
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
    law.stuck
  ),
  mutant(
    "shows in a look only the first messages",
    { reader: ({ read }) => ({ read: (topic) => Stream.take(read(topic), 40) }) },
    law.look
  ),
  mutant(
    "looks through a group that takes what it sees",
    {
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
    law.look
  ),
  stalling(
    "is never ready",
    { publisher: () => ({ ready: Effect.fail(new PublishTransient({ cause: "no broker" })) }) },
    law.ready
  ),
  stalling(
    "loses what its second subscriber gets",
    {
      consumer: ({ subscribe }) => {
        const groups = new Set<string>()
        return {
          subscribe: (subscription) =>
            Stream.suspend(() => {
              const loses = groups.has(subscription.group)
              groups.add(subscription.group)
              return Stream.filterEffect(subscribe(subscription), (batch) =>
                loses ? Effect.as(batch.acknowledge, false) : Effect.succeed(true)
              )
            })
        }
      }
    },
    law.shared
  ),
  mutant(
    "cuts values at 64 kB",
    publishes((messages) => messages.map((message) => ({ ...message, value: message.value.slice(0, 65_536) }))),
    law.content
  ),
  mutant(
    "cuts keys at 100 characters",
    publishes((messages) => messages.map(({ key, ...message }) => ({ ...message, key: key?.slice(0, 100) }))),
    law.content
  ),
  mutant(
    "carries 32 headers at most",
    publishes((messages) =>
      messages.map(({ headers, ...message }) => ({
        ...message,
        headers: Object.fromEntries(Object.entries(headers).slice(-32))
      }))
    ),
    law.content
  )
]

/** Answers a batch that holds refused records in some way of its own. */
const answers = (
  change: (
    taken: ReadonlyArray<Message>,
    refused: Divided["refused"],
    all: ReadonlyArray<Message>
  ) => {
    readonly taken: ReadonlyArray<Message>
    readonly refused: Divided["refused"]
  }
) => ({
  publisher: ({ publish }: MessagePublisher["Service"]) => ({
    publish: (messages: ReadonlyArray<Message>) => {
      const divided = divide(messages)
      const { refused, taken } = change(divided.taken, divided.refused, messages)
      return Effect.andThen(
        publish(taken),
        refused.length === 0 ? Effect.void : Effect.fail(new PublishRefused({ records: refused }))
      )
    }
  })
})

type Divided = ReturnType<typeof divide>

export const refusers: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "sends nothing of a batch that holds a refused record",
    answers((taken, refused) => ({
      taken: refused.length > 0 ? [] : taken,
      refused
    })),
    law.refused,
    law.refusedAgain
  ),
  mutant(
    "sends nothing behind a refused record",
    answers((taken, refused, all) => ({
      taken: taken.filter((message) => all.indexOf(message) < (refused[0]?.index ?? all.length)),
      refused
    })),
    law.refused,
    law.refusedAgain
  ),
  mutant(
    "sends what follows a refused record of its key",
    answers((_, refused, all) => ({
      taken: all.filter((message) => !isRefused(message)),
      refused
    })),
    law.refused
  ),
  mutant(
    "keeps the key of a refused record back from every topic",
    answers((_, refused, all) => ({
      taken: divide(all, ({ key }) => `${key}`).taken,
      refused
    })),
    law.refused
  ),
  mutant(
    "names what follows a refused record too",
    answers((taken, _, all) => ({
      taken,
      refused: all.flatMap((message, index) => (taken.includes(message) ? [] : [{ index, reason: "not sent" }]))
    })),
    law.refused
  ),
  mutant(
    "names the first refused record only",
    answers((taken, refused) => ({ taken, refused: refused.slice(0, 1) })),
    law.refused
  ),
  mutant(
    "names every record of a batch that it could not send whole",
    answers((taken, refused, all) => ({
      taken,
      refused: refused.length === 0 ? [] : all.map((_, index) => ({ index, reason: "the batch is refused" }))
    })),
    law.refused,
    law.refusedAgain
  ),
  mutant(
    "gives no reason",
    answers((taken, refused) => ({
      taken,
      refused: refused.map(({ index }) => ({ index, reason: "" }))
    })),
    law.refused
  ),
  mutant(
    "drops refused records without a word",
    answers((taken) => ({ taken, refused: [] })),
    law.refused
  ),
  mutant(
    "refuses a record once",
    {
      publisher: ({ publish }) => {
        let refused = false
        return {
          publish: (messages) =>
            Effect.suspend(() => {
              const again = refused
              refused ||= messages.some(isRefused)
              return publish(again ? messages.filter((message) => !isRefused(message)) : messages)
            })
        }
      }
    },
    law.refusedAgain
  ),
  stalling(
    "calls a refusal an outage",
    {
      publisher: ({ publish }) => ({
        publish: (messages) =>
          Effect.catchTag(publish(messages), "PublishRefused", (cause) => Effect.fail(new PublishTransient({ cause })))
      })
    },
    law.refused,
    law.refusedAgain
  )
]

export const severalInstances: ReadonlyArray<Mutant<Ports>> = [
  {
    fault: "forgets everything with its instance",
    make: () => Broker.layer(),
    fails: [law.durable, law.instances],
    waits: true
  },
  {
    fault: "has groups of each instance's own",
    make: () =>
      broken(
        {
          consumer: ({ subscribe }) => {
            const instance = crypto.randomUUID()
            return { subscribe: ({ group, topic }) => subscribe({ topic, group: `${group} ${instance}` }) }
          }
        },
        shared()
      ),
    fails: [law.durable]
  },
  {
    fault: "acknowledges what an instance has in hand",
    make: () =>
      broken(
        {
          consumer: ({ subscribe }) => ({
            subscribe: (subscription) => Stream.tap(subscribe(subscription), (batch) => batch.acknowledge)
          })
        },
        shared()
      ),
    fails: [law.instances],
    waits: true
  }
]
