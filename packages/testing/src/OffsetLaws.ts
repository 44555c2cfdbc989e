/** The laws of `MessagingContract` about offsets, about holding a batch, and about reading a topic from outside. */
import { assert } from "@effect/vitest"
import type { Located, Message } from "@invoice/core/Message"
import { type MessageBatch, MessageConsumer } from "@invoice/core/ports/MessageConsumer"
import { TopicReader } from "@invoice/core/ports/TopicReader"
import { Effect, Stream, SubscriptionRef } from "effect"
import {
  ascending,
  countingTo,
  fresh,
  gotAll,
  message,
  numbered,
  numbers,
  places,
  publish,
  publishing,
  texts
} from "./Messages.ts"
import type { Law, MakeLaw } from "./MessagingLaw.ts"
import { read } from "./Reading.ts"

/** Makes a partition of which the group has handled ten messages, and one waits; answers the offsets of the ten. */
const tenHandledOneWaiting = (topic: string, group: string) =>
  Effect.gen(function* () {
    yield* publish(numbered(topic, "k", 0, 10))
    const reading = yield* read({ topic, group })
    yield* gotAll(reading, 10)
    yield* reading.close
    yield* publishing(numbered(topic, "k", 10, 1))
    return reading.batches().flatMap(({ offsets }) => offsets)
  })

const offsetsRise = Effect.gen(function* () {
  const topic = fresh("offsets")
  const reading = yield* read({ topic, group: fresh("group") })
  for (const round of countingTo(3)) {
    yield* publish(countingTo(300).map((n) => message(topic, `${n % 24}`, `${round * 300 + n}`)))
    yield* gotAll(reading, (round + 1) * 300)
  }
  for (const batches of Map.groupBy(reading.batches(), ({ partition }) => partition).values()) {
    let next: bigint | undefined
    for (const batch of batches) {
      if (next !== undefined) assert.strictEqual(BigInt(batch.from), next)
      assert.strictEqual(batch.offsets.length, batch.messages.length)
      let above = BigInt(batch.from) - 1n
      for (const offset of batch.offsets.map(BigInt)) {
        assert.isTrue(offset > above, `${offset} after ${above}`)
        above = offset
      }
      next = BigInt(batch.next)
      assert.isTrue(next > above)
    }
  }
})

const offsetKept = Effect.gen(function* () {
  const topic = fresh("kept")
  const group = fresh("group")
  yield* publish(countingTo(60).map((n) => message(topic, `${n % 12}`, `${n}`)))
  const holding = yield* read({ topic, group }, { acknowledge: false })
  yield* holding.until(() => holding.batches().length > 0)
  const before = places(holding.batches())
  yield* holding.close
  const again = yield* read({ topic, group })
  const other = yield* read({ topic, group: fresh("other") })
  yield* gotAll(again, 60)
  yield* gotAll(other, 60)
  assert.deepStrictEqual(places(again.batches()), places(other.batches()))
  for (const [text, place] of before) assert.strictEqual(places(again.batches()).get(text), place)
})

const heldUntilSettled = Effect.gen(function* () {
  const topic = fresh("held")
  const group = fresh("group")
  yield* publish(numbered(topic, "k", 0, 5))
  const holding = yield* read({ topic, group }, { acknowledge: false })
  yield* holding.until(() => holding.batches().length === 1)
  const [first] = holding.batches()
  assert.isTrue(yield* first?.isHeld ?? Effect.succeed(false))
  yield* first?.rewind("0") ?? Effect.void
  assert.isFalse(yield* first?.isHeld ?? Effect.succeed(true))
  yield* holding.until(() => holding.batches().length === 2)
  const second = holding.batches()[1]
  // has no effect, since the batch was given back
  yield* first?.acknowledge ?? Effect.void
  assert.isTrue(yield* second?.isHeld ?? Effect.succeed(false))
  yield* second?.acknowledge ?? Effect.void
  assert.isFalse(yield* second?.isHeld ?? Effect.succeed(true))
})

const rewound = Effect.gen(function* () {
  const topic = fresh("rewound")
  const group = fresh("group")
  const offset = (yield* tenHandledOneWaiting(topic, group))[4] ?? ""
  const consumer = yield* MessageConsumer
  const received: Array<MessageBatch> = []
  yield* consumer.subscribe({ topic, group }).pipe(
    Stream.tap((batch) => {
      received.push(batch)
      return received.length === 1 ? batch.rewind(offset) : batch.acknowledge
    }),
    Stream.takeUntil(() => numbers(received.slice(1).flatMap(({ messages }) => messages)).includes(10)),
    Stream.runDrain
  )
  const [first, second, ...rest] = received
  assert.deepStrictEqual(numbers(first?.messages ?? []), [10])
  assert.strictEqual(second?.from, offset)
  const since = [second, ...rest].flatMap((batch) => batch?.messages ?? [])
  assert.deepStrictEqual(numbers(since), [4, 5, 6, 7, 8, 9, 10])
})

const rewindOutlasts = Effect.gen(function* () {
  const topic = fresh("outlasting")
  const group = fresh("group")
  const offset = (yield* tenHandledOneWaiting(topic, group))[6] ?? ""
  const rewinding = yield* read({ topic, group }, { acknowledge: false })
  yield* rewinding.until(() => rewinding.batches().length === 1)
  yield* rewinding.batches()[0]?.rewind(offset) ?? Effect.void
  yield* rewinding.close
  const next = yield* read({ topic, group })
  yield* gotAll(next, 5)
  assert.deepStrictEqual(numbers(next.messages()), [6, 7, 8, 9, 10])
})

const longHeld = Effect.gen(function* () {
  const topic = fresh("stuck")
  const group = fresh("group")
  const keys = countingTo(24).map((index) => `${index}`)
  yield* publish(keys.map((key) => message(topic, key, key)))
  const consumer = yield* MessageConsumer
  const others = yield* SubscriptionRef.make<ReadonlyArray<Message>>([])
  let stuck: MessageBatch | undefined
  yield* consumer.subscribe({ topic, group }).pipe(
    Stream.runForEach((batch) => {
      stuck ??= batch
      return batch.partition === stuck.partition
        ? Effect.void
        : Effect.andThen(
            batch.acknowledge,
            SubscriptionRef.update(others, (received) => [...received, ...batch.messages])
          )
    }),
    Effect.forkScoped
  )
  for (const round of countingTo(5)) {
    yield* publishing(keys.map((key) => message(topic, key, key)))
    yield* SubscriptionRef.changes(others).pipe(
      Stream.takeUntil((received) => {
        const behind = new Set(stuck?.messages.map(({ key }) => key))
        const rounds = Map.groupBy(received, ({ key }) => key)
        return keys.every((key) => behind.has(key) || (rounds.get(key)?.length ?? 0) >= round + 2)
      }),
      Stream.runDrain
    )
  }
  assert.isTrue(yield* stuck?.isHeld ?? Effect.succeed(false))
})

const topicRead = Effect.gen(function* () {
  const topic = fresh("look")
  const group = fresh("group")
  const reader = yield* TopicReader
  assert.deepStrictEqual(yield* Stream.runCollect(reader.read(fresh("missing"))), [])
  yield* publish(countingTo(50).map((n) => message(topic, `${n % 12}`, `${n}`)))
  const first = yield* Stream.runCollect(reader.read(topic))
  const second = yield* Stream.runCollect(reader.read(topic))
  assert.deepStrictEqual(
    texts(first.map((one) => one.message))
      .map(Number)
      .toSorted(ascending),
    countingTo(50)
  )
  const reading = yield* read({ topic, group })
  yield* gotAll(reading, 50)
  const seen = (located: ReadonlyArray<Located>) =>
    new Map(located.map((one) => [texts([one.message])[0], `${one.partition}/${one.offset}`]))
  assert.deepStrictEqual(seen(first), places(reading.batches()))
  assert.deepStrictEqual(seen(second), seen(first))
})

export const offsetLaws = (law: MakeLaw): ReadonlyArray<Law> => [
  law("offsets rise within a partition, and each batch begins where the one before ends", offsetsRise),
  law("a message keeps its offset when it comes again, to this group or another", offsetKept),
  law("a batch is held until it is acknowledged or rewound, and no longer", heldUntilSettled),
  law("a rewound partition goes on at the offset that was asked for", rewound),
  law("a rewind outlasts its subscription", rewindOutlasts),
  law("a batch that is held for long holds up no other partition", longHeld),
  law("a look at a topic shows all that it holds, ends there, and takes nothing from any group", topicRead)
]
