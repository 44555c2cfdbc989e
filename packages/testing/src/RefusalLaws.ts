/** The laws of `MessagingContract` about records that a broker will never take. */
import { assert } from "@effect/vitest"
import { PublishRefused } from "@invoice/core/InvoiceError"
import type { Message } from "@invoice/core/Message"
import { MessagePublisher } from "@invoice/core/ports/MessagePublisher"
import { Effect, Schedule } from "effect"
import { countingTo, fresh, message, numbers, publish } from "./Messages.ts"
import type { Law, MakeLaw } from "./MessagingLaw.ts"
import { read } from "./Reading.ts"

/** How a test of the suite may make its broker refuse a record. */
export interface RefusalOptions {
  /**
   * Makes a message of this topic and key that the broker will never take, such as one that is too large, and makes the
   * topic if the refusal depends on it. Needed for the feature `refuses`.
   */
  readonly refusable?: ((topic: string, key: string) => Effect.Effect<Message, unknown>) | undefined
}

/** The refused records of a batch, which is sent again, as the relay does, while the broker may still take it. */
const refusalOf = (messages: ReadonlyArray<Message>) =>
  Effect.gen(function* () {
    const publisher = yield* MessagePublisher
    const failure = yield* Effect.retry(publisher.publish(messages), {
      schedule: Schedule.spaced("100 millis"),
      while: (error) => error._tag === "PublishTransient"
    }).pipe(Effect.flip)
    assert.instanceOf(failure, PublishRefused)
    return failure instanceof PublishRefused ? failure.records.toSorted((one, other) => one.index - other.index) : []
  })

type RefusableOf = (topic: string, key: string) => Effect.Effect<Message, unknown>

const end = 1_000

/** The messages of a topic, by key, up to a last one that is sent behind all others of each key. */
const contents = (topic: string, keys: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* publish(keys.map((key) => message(topic, key, `${end}`)))
    const reading = yield* read({ topic, group: fresh("group") })
    const isComplete = () => keys.every((key) => numbers(reading.messages(), key).includes(end))
    yield* reading.until(isComplete)
    return new Map(keys.map((key) => [key, numbers(reading.messages(), key).filter((number) => number !== end)]))
  })

const everyRefusedNamed = (refusableOf: RefusableOf) =>
  Effect.gen(function* () {
    const [topic, other] = [fresh("refusing"), fresh("other")]
    const [large, larger] = [yield* refusableOf(topic, "b"), yield* refusableOf(topic, "d")]
    const records = yield* refusalOf([
      message(topic, "a", "0"),
      message(topic, "b", "1"),
      large,
      message(topic, "b", "3"),
      message(topic, "c", "4"),
      message(other, "b", "5"),
      message(topic, "a", "6"),
      larger,
      message(topic, "d", "8"),
      message(topic, "c", "9")
    ])
    assert.deepStrictEqual(
      records.map(({ index }) => index),
      [2, 7]
    )
    for (const { reason } of records) assert.isNotEmpty(reason)
    assert.deepStrictEqual(
      yield* contents(topic, ["a", "b", "c", "d"]),
      new Map([
        ["a", [0, 6]],
        ["b", [1]],
        ["c", [4, 9]],
        ["d", []]
      ])
    )
    assert.deepStrictEqual(yield* contents(other, ["b"]), new Map([["b", [5]]]))
  })

const refusedAgain = (refusableOf: RefusableOf) =>
  Effect.gen(function* () {
    const topic = fresh("refusing")
    const large = yield* refusableOf(topic, "large")
    const before = countingTo(50).map((n) => message(topic, `${n % 10}`, `${n}`))
    const after = countingTo(50).map((n) => message(topic, `${n % 10}`, `${50 + n}`))
    for (const _ of countingTo(2)) {
      const records = yield* refusalOf([...before, large, ...after])
      assert.deepStrictEqual(
        records.map(({ index }) => index),
        [50]
      )
      assert.deepStrictEqual(
        (yield* refusalOf([large])).map(({ index }) => index),
        [0]
      )
    }
    const keys = countingTo(10).map((n) => `${n}`)
    const found = yield* contents(topic, keys)
    for (const key of keys) {
      assert.deepStrictEqual(
        found.get(key),
        countingTo(10).map((n) => n * 10 + Number(key))
      )
    }
  })

export const refusalLaws = (law: MakeLaw, { refusable }: RefusalOptions): ReadonlyArray<Law> => {
  const refusableOf: RefusableOf = (topic, key) =>
    refusable?.(topic, key) ?? Effect.die(new Error("say by the option `refusable` what the broker refuses"))
  return [
    law(
      "every record that is refused is named, and all others are durable but those behind one of its topic and key",
      everyRefusedNamed(refusableOf),
      "refuses"
    ),
    law("a record that is refused is refused again, and one among many is found", refusedAgain(refusableOf), "refuses")
  ]
}
