/** What the validator does with what keeps failing: who waits, who goes on, and what becomes a dead letter. */
import { assert, describe, it } from "@effect/vitest"
import {
  DeadLetter,
  DeadLetters,
  InvoiceEvent,
  InvoiceStore,
  MessageConsumer,
  MessagePublisher,
  Profile,
  PublishRefused,
  StoreUnavailable,
  TopicReader,
  ValidateInvoices
} from "@invoice/core"
import type { Decision } from "@invoice/core/ports/InvoiceStore"
import type * as Validating from "@invoice/core/ValidateInvoices"
import * as Generators from "@invoice/testing/Generators"
import { Deferred, Effect, Fiber, Layer, Metric, Schedule, Stream } from "effect"
import * as Broker from "../src/memory/Broker.ts"
import * as Memory from "../src/memory/Memory.ts"

const topic = InvoiceEvent.topics.Pending

const message = (value: string, key?: string): InvoiceEvent.Message => ({
  topic,
  key,
  value: new TextEncoder().encode(value),
  headers: { traceparent: "00-" }
})

const about = ({ id }: { readonly id: string }, key: string = id): InvoiceEvent.Message =>
  message(JSON.stringify({ id }), key)

/** What a test can have the store do: fail a call to `decide`, or its readiness. */
interface Faults {
  decide: (decisions: ReadonlyArray<Decision>) => StoreUnavailable | undefined
  isReady: boolean
  calls: number
}

const noFaults = (): Faults => ({ decide: () => undefined, isReady: true, calls: 0 })

const fails = (retryable: boolean) => new StoreUnavailable({ retryable, cause: new Error("no space left on device") })

const faulty = (faults: Faults) =>
  Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) =>
      InvoiceStore.of({
        ...store,
        decide: (decisions) =>
          Effect.suspend(() => {
            faults.calls++
            const failure = faults.decide(decisions)
            return failure === undefined ? store.decide(decisions) : Effect.fail(failure)
          }),
        ready: Effect.suspend(() => (faults.isReady ? store.ready : Effect.fail(fails(true))))
      })
    )
  ).pipe(Layer.provideMerge(Memory.layer))

/** No group is known before it subscribes, so that publishing doesn't wait for the validator. */
const world = (faults: Faults, options: Broker.Options & Validating.Options = {}) =>
  Layer.mergeAll(ValidateInvoices.layer({ retryMillis: 5, ...options }), DeadLetters.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(faulty(faults), Profile.layer(Profile.core), Broker.layer(options)))
  )

const running = Effect.forkScoped(Effect.flatMap(ValidateInvoices, ({ run }) => run))

const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (yes) => yes, schedule: Schedule.spaced("2 millis") })

const store = (count: number) =>
  Effect.gen(function* () {
    const { create } = yield* InvoiceStore
    const invoices = Array.from({ length: count }, () => Generators.invoice())
    yield* Effect.forEach(invoices, (invoice) => create(invoice), { discard: true })
    return invoices
  })

const publish = (messages: ReadonlyArray<InvoiceEvent.Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

const pending = Effect.flatMap(InvoiceStore, ({ list }) =>
  Effect.map(list({ status: "Pending", limit: 200 }), ({ items }) => items.map(({ invoice }) => invoice.id))
)

const letters = Effect.flatMap(DeadLetters, ({ list }) => Stream.runCollect(list(topic)))

describe("a message whose handling fails alone", () => {
  it.live(
    "becomes a dead letter after a bounded number of tries, with everything about it, and the others go on",
    () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const invoices = yield* store(20)
        const poison = invoices[7]?.id
        let tries = 0
        faults.decide = (decisions) => {
          if (!decisions.some(({ id }) => id === poison)) return undefined
          if (decisions.length === 1) tries++
          return fails(true)
        }
        yield* publish(invoices.map((invoice) => about(invoice)))
        yield* running
        yield* until(Effect.map(letters, (all) => all.length === 1))
        assert.deepStrictEqual(yield* pending, [poison])
        const [letter] = yield* letters
        assert.strictEqual(tries, 4)
        assert.strictEqual(letter?.attempts, 4)
        assert.strictEqual(letter?.kind, "TriedTooOften")
        assert.include(letter?.reason ?? "", "no space left on device")
        assert.deepStrictEqual(letter?.from, { topic, partition: 0, offset: "7" })
        assert.isDefined(letter?.at)
        assert.deepStrictEqual(letter?.original, about({ id: String(poison) }))
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 4 })))
    }
  )

  it.live("becomes one at once when the store refuses it for good, or dies of it", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(20)
      const [refused, deadly] = [invoices[3]?.id, invoices[11]?.id]
      faults.decide = (decisions) => {
        if (decisions.some(({ id }) => id === deadly)) throw new Error("a row that can't be read")
        return decisions.some(({ id }) => id === refused) ? fails(false) : undefined
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(letters, (all) => all.length === 2))
      assert.deepStrictEqual(new Set(yield* pending), new Set([refused, deadly]))
      for (const { attempts, kind } of yield* letters) assert.deepStrictEqual([kind, attempts], ["Refused", 1])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.live("is tried for as long as nothing else succeeds: a single message is no proof against the store", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const [poison, other] = yield* store(2)
      faults.decide = (decisions) => (decisions.some(({ id }) => id === poison?.id) ? fails(false) : undefined)
      yield* publish([about({ id: String(poison?.id) }, "a")])
      yield* running
      yield* until(Effect.sync(() => faults.calls > 30))
      assert.deepStrictEqual(yield* letters, [])
      // in another partition
      yield* Effect.forkScoped(publish([about({ id: String(other?.id) }, "b")]))
      yield* until(Effect.map(letters, (all) => all.length === 1))
    }).pipe(Effect.scoped, Effect.provide(world(faults)))
  })
})

describe("an outage", () => {
  for (const [what, failure, isReady] of [
    ["that refuses every write though the store answers", fails(false), true],
    ["that fails every write though the store answers", fails(true), true],
    ["of a store that doesn't answer", fails(true), false],
    ["of a store that doesn't answer, and calls it final", fails(false), false]
  ] as const) {
    it.live(`${what} buries nothing, and everything is judged afterwards`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const invoices = yield* store(30)
        faults.decide = () => failure
        faults.isReady = isReady
        yield* publish(invoices.map((invoice) => about(invoice)))
        yield* running
        yield* until(Effect.sync(() => faults.calls > 300))
        assert.strictEqual((yield* pending).length, 30)
        faults.decide = () => undefined
        faults.isReady = true
        yield* until(Effect.map(pending, (ids) => ids.length === 0))
        assert.deepStrictEqual(yield* letters, [])
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 3, maxTries: 3 })))
    })
  }

  // the clock stands still, so what waits for its next try never makes it
  it.effect("that refuses every write is met with a few tries at a time, not with one for each message", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(100)
      const alone = new Set<string>()
      faults.decide = (decisions) => {
        if (decisions.length === 1) alone.add(decisions[0]?.id ?? "")
        return fails(false)
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.strictEqual(alone.size, 3)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.live("that begins while a message is tried alone counts against nobody", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      const weak = invoices[9]?.id
      faults.decide = (decisions) => {
        if (faults.isReady && decisions.length === 1 && decisions[0]?.id === weak) faults.isReady = false
        return !faults.isReady || decisions.some(({ id }) => id === weak) ? fails(true) : undefined
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 1))
      const calls = faults.calls
      yield* until(Effect.sync(() => faults.calls > calls + 30))
      faults.decide = () => undefined
      faults.isReady = true
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* letters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("makes one letter of what can't be decoded, however often its batch is tried", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(3)
      faults.decide = () => (faults.calls < 20 ? fails(true) : undefined)
      faults.isReady = false
      yield* publish([message("no json", "k"), ...invoices.map((invoice) => about(invoice))])
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      yield* until(Effect.map(letters, (all) => all.length > 0))
      const reader = yield* TopicReader
      const buried = yield* Stream.runCollect(reader.read(DeadLetter.topicOf(topic)))
      assert.deepStrictEqual(
        buried.map(({ message }) => message.headers["dlq_kind"]),
        ["Undecodable"]
      )
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})

describe("the validator", () => {
  it.live("works on other partitions while more of them wait than it works on at once", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const stuck = yield* store(5)
      const fine = yield* store(1)
      const poison = new Set<string>(stuck.map(({ id }) => id))
      faults.decide = (decisions) => (decisions.some(({ id }) => poison.has(id)) ? fails(true) : undefined)
      faults.isReady = false
      yield* publish(stuck.map(({ id }, index) => about({ id }, `${index}`)))
      yield* running
      yield* until(Effect.sync(() => faults.calls > 30))
      for (let key = 100; (yield* pending).length > 5; key++) {
        yield* Effect.forkScoped(publish(fine.map((invoice) => about(invoice, `${key}`))))
        yield* Effect.yieldNow
      }
      assert.strictEqual((yield* pending).length, 5)
    }).pipe(
      Effect.timeout("8 seconds"),
      Effect.scoped,
      Effect.provide(world(faults, { partitions: 50, concurrency: 2 }))
    )
  })

  it.live("works on no more batches at once than it was told", () =>
    Effect.gen(function* () {
      const inner = yield* InvoiceStore
      let most = 0
      let now = 0
      const counting = InvoiceStore.of({
        ...inner,
        decide: (decisions) =>
          Effect.gen(function* () {
            most = Math.max(most, ++now)
            yield* Effect.sleep("1 millis")
            now--
            return yield* inner.decide(decisions)
          })
      })
      const invoices = yield* store(200)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ concurrency: 2 })),
          Effect.provideService(InvoiceStore, counting)
        )
      )
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.strictEqual(most, 2)
    }).pipe(Effect.scoped, Effect.provide(world(noFaults(), { partitions: 20 })))
  )

  it.live("finishes what it has in hand when it is stopped, and takes nothing more", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const entered = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const inner = yield* InvoiceStore
      const invoices = yield* store(4)
      const slow = InvoiceStore.of({
        ...inner,
        decide: (decisions) =>
          Effect.andThen(
            Deferred.succeed(entered, undefined),
            Effect.andThen(Deferred.await(release), inner.decide(decisions))
          )
      })
      yield* publish(invoices.map((invoice) => about(invoice, "k")))
      const fiber = yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer()),
          Effect.provideService(InvoiceStore, slow)
        )
      )
      yield* Deferred.await(entered)
      const stopped = yield* Effect.forkScoped(Fiber.interrupt(fiber))
      yield* Effect.forkScoped(publish([message("never handled", "k")]))
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(yield* pending, [])
      // acknowledged, so that only what came later comes to the next one
      const { subscribe } = yield* MessageConsumer
      const next = yield* Stream.runHead(subscribe({ topic, group: "validation-service" }))
      assert.deepStrictEqual(next._tag === "Some" ? next.value.offsets : [], ["4"])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.live("gives up at once when it is stopped while the store is away", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(4)
      faults.decide = () => fails(true)
      faults.isReady = false
      yield* publish(invoices.map((invoice) => about(invoice)))
      const fiber = yield* running
      yield* until(Effect.sync(() => faults.calls > 0))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* pending).length, 4)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { retryMillis: 60_000, finishMillis: 60_000 })))
  })

  it.live("keeps a letter that is too large with its headers, without the value", () => {
    const sent: Array<InvoiceEvent.Message> = []
    const limited = Layer.succeed(
      MessagePublisher,
      MessagePublisher.of({
        publish: (messages) =>
          Effect.suspend(() => {
            const index = messages.findIndex(({ value }) => value.byteLength > 100)
            if (index >= 0) return Effect.fail(new PublishRefused({ records: [{ index, reason: "too large" }] }))
            sent.push(...messages)
            return Effect.void
          }),
        ready: Effect.void
      })
    )
    return Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      yield* handle([message("x".repeat(200), "large"), message("small", "small")])
      const parsed = sent.map((one) => DeadLetter.parse({ message: one, partition: 0, offset: "0" }))
      assert.deepStrictEqual(
        parsed.map((letter) => [letter?.key, letter?.original === undefined]),
        [
          ["large", true],
          ["small", false]
        ]
      )
    }).pipe(
      Effect.provide(
        ValidateInvoices.layer().pipe(
          Layer.provide(limited),
          Layer.provide(Layer.mergeAll(Broker.layer(), Memory.layer, Profile.layer(Profile.core)))
        )
      )
    )
  })

  it.live("counts tries that failed, letters by the kind of reason, and the sizes of batches", () => {
    const faults = noFaults()
    const value = (name: string, attribute: string) =>
      Effect.map(Metric.snapshot, (snapshots) =>
        snapshots
          .filter(({ attributes, id }) => id === name && Object.values(attributes ?? {}).includes(attribute))
          .reduce((sum, { state }) => sum + ("count" in state ? Number(state.count) : 0), 0)
      )
    return Effect.gen(function* () {
      const group = "counting"
      const invoices = yield* store(2)
      faults.decide = () => (faults.calls < 3 ? fails(true) : undefined)
      faults.isReady = false
      const before = yield* value("dead_letters_total", "Undecodable")
      yield* publish([...invoices.map((invoice) => about(invoice)), message("no json")])
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ group, retryMillis: 5 }))
        )
      )
      yield* until(Effect.map(letters, (all) => all.length === 1))
      yield* until(Effect.map(value("dead_letters_total", "Undecodable"), (count) => count === before + 1))
      assert.strictEqual(yield* value("consumer_retries_total", group), 2)
      assert.strictEqual(yield* value("consumer_batch_messages", group), 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})

describe("a dead letter", () => {
  const awkward: ReadonlyArray<InvoiceEvent.Message> = [
    { topic, key: undefined, value: Uint8Array.of(0, 255, 254, 10), headers: {} },
    { topic, key: "", value: new Uint8Array(), headers: { empty: "", traceparent: "00-ü" } },
    { topic, key: "k", value: Uint8Array.of(123), headers: { ce_id: "1" } }
  ]

  it.live("is sent again as it was, once, and is not listed any longer", () =>
    Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      const { list, replay } = yield* DeadLetters
      const reader = yield* TopicReader
      yield* handle(awkward)
      assert.strictEqual((yield* Stream.runCollect(list(topic))).length, 3)
      assert.deepStrictEqual(yield* replay({ topic, key: "k" }), { sent: 1, left: 0 })
      assert.deepStrictEqual(
        new Set((yield* Stream.runCollect(list(topic))).map(({ key }) => key)),
        new Set([undefined, ""])
      )
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 2, left: 0 })
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 0, left: 0 })
      assert.deepStrictEqual(yield* Stream.runCollect(list(topic)), [])
      const again = yield* Stream.runCollect(reader.read(topic))
      assert.sameDeepMembers(
        again.map(({ message }) => message),
        [...awkward]
      )
    }).pipe(Effect.provide(world(noFaults())))
  )

  it.live("is sent again by the next replay when one was cut off before it noted that", () =>
    Effect.gen(function* () {
      const { handle } = yield* ValidateInvoices
      yield* handle(awkward)
      const publisher = yield* MessagePublisher
      const cut = MessagePublisher.of({
        ...publisher,
        publish: (messages) =>
          messages.some(({ headers }) => headers["dlq_receipt"] !== undefined)
            ? Effect.never
            : publisher.publish(messages)
      })
      const reader = yield* TopicReader
      const fiber = yield* Effect.forkScoped(
        Effect.flatMap(DeadLetters, ({ replay }) => replay({ topic })).pipe(
          Effect.provide(Layer.fresh(DeadLetters.layer)),
          Effect.provideService(MessagePublisher, cut)
        )
      )
      yield* until(Effect.map(Stream.runCollect(reader.read(topic)), (sent) => sent.length === 3))
      yield* Fiber.interrupt(fiber)
      const { replay } = yield* DeadLetters
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 3, left: 0 })
    }).pipe(Effect.scoped, Effect.provide(world(noFaults())))
  )
})
