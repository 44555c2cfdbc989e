/** What the validator does with what keeps failing: who waits, who goes on, and what becomes a dead letter. */
import { assert, describe, it } from "@effect/vitest"
import {
  ConsumerUnavailable,
  DeadLetter,
  InvoiceStore,
  MessageConsumer,
  Profile,
  TopicReader,
  ValidateInvoices
} from "@invoice/core"
import { Deferred, Effect, Fiber, Layer, Metric, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Broker from "../src/memory/Broker.ts"
import * as Memory from "../src/memory/Memory.ts"
import {
  about,
  fails,
  letters,
  message,
  noFaults,
  pending,
  publish,
  ready,
  running,
  store,
  topic,
  until,
  world
} from "./ValidatorWorld.ts"

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
          return fails("retryable")
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
        return decisions.some(({ id }) => id === refused) ? fails("permanent") : undefined
      }
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(letters, (all) => all.length === 2))
      assert.deepStrictEqual(new Set(yield* pending), new Set([refused, deadly]))
      for (const { attempts, kind } of yield* letters) assert.deepStrictEqual([kind, attempts], ["Refused", 1])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  for (const partitions of [1, 6]) {
    it.live(`becomes one though nothing else is there to be written, with ${partitions} partitions`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const [poison, ...others] = yield* store(40)
        faults.decide = (decisions) => (decisions.some(({ id }) => id === poison?.id) ? fails("permanent") : undefined)
        yield* running
        yield* publish([about({ id: String(poison?.id) })])
        yield* until(Effect.map(letters, (all) => all.length === 1))
        yield* publish(others.map((invoice) => about(invoice)))
        yield* until(Effect.map(pending, (ids) => ids.length === 1))
        assert.strictEqual((yield* letters).length, 1)
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions })))
    })
  }

  it.live("becomes one only when the store takes writes before and after each of the tries that count", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const [poison] = yield* store(1)
      let provedAt = 0
      faults.decide = () => fails("retryable")
      faults.writable = () => {
        if (faults.probes % 4 === 1) return fails("unavailable")
        provedAt = faults.calls
        return undefined
      }
      yield* publish([about({ id: String(poison?.id) })])
      yield* running
      yield* until(Effect.map(letters, (all) => all.length === 1))
      const [letter] = yield* letters
      assert.strictEqual(letter?.attempts, 3)
      // the proof is not older than the last try
      assert.strictEqual(provedAt, faults.calls)
      // four of the batch, and alone two that count, two around the probe that failed, and one that counts
      assert.isAtLeast(faults.calls, 4 + 2 + 2 + 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("holds up what comes behind it with its key, until it is settled, and nothing else", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const [poison, behind, other] = yield* store(3)
      const tried: Array<string | undefined> = []
      let lettersThen = -1
      const reader = yield* TopicReader
      faults.decide = (decisions) => {
        if (decisions.length === 1) tried.push(decisions[0]?.id)
        return decisions.some(({ id }) => id === poison?.id) ? fails("retryable") : undefined
      }
      yield* publish([
        about({ id: String(poison?.id) }, "a"),
        about({ id: String(behind?.id) }, "a"),
        about({ id: String(other?.id) }, "b")
      ])
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 1))
      lettersThen = (yield* Stream.runCollect(reader.read(DeadLetter.topicOf(topic)))).length
      assert.deepStrictEqual(tried, [poison?.id, other?.id, poison?.id, poison?.id, behind?.id])
      assert.strictEqual(lettersThen, 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("is handled with its neighbours again when the store was only away", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      // three tries of the batch that may be its own fault, and one of a message
      faults.decide = () => (faults.calls <= 4 ? fails("retryable") : undefined)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* letters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 2 })))
  })

  it.live("is none while the store that does not know its invoice takes no writes", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const inner = yield* InvoiceStore
      const [late] = yield* store(1)
      let reads = 0
      // a standby that is a little behind, and then is promoted
      const standby = InvoiceStore.of({
        ...inner,
        getMany: (ids) => (++reads < 10 ? Effect.succeed([]) : inner.getMany(ids)),
        writable: Effect.suspend(() => (reads < 9 ? Effect.fail(fails("unavailable")) : Effect.void))
      })
      yield* publish([about({ id: String(late?.id) })])
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ retryMillis: 5 })),
          Effect.provideService(InvoiceStore, standby)
        )
      )
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* letters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})

describe("an outage", () => {
  for (const [what, kind, takesWrites] of [
    ["that refuses every write for good", "permanent", false],
    ["that fails every write", "retryable", false],
    ["of a store that doesn't answer", "unavailable", false],
    ["that calls itself one, of a store whose probes succeed", "unavailable", true]
  ] as const) {
    it.live(`${what} makes no dead letter, and everything is judged afterwards`, () => {
      const faults = noFaults()
      return Effect.gen(function* () {
        const invoices = yield* store(30)
        faults.decide = () => fails(kind)
        faults.writable = () => (takesWrites ? undefined : fails(kind))
        yield* publish(invoices.map((invoice) => about(invoice)))
        yield* running
        yield* until(Effect.sync(() => faults.calls > 300))
        assert.strictEqual((yield* pending).length, 30)
        assert.isTrue((yield* Effect.result(ready))._tag === "Failure")
        faults.decide = () => undefined
        faults.writable = () => undefined
        yield* until(Effect.map(pending, (ids) => ids.length === 0))
        assert.deepStrictEqual(yield* letters, [])
        yield* until(Effect.map(Effect.result(ready), ({ _tag }) => _tag === "Success"))
      }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 3, maxTries: 3 })))
    })
  }

  // the clock stands still, so what waits for its next try never makes it
  it.effect("that refuses every write is met with one try of the batch and one probe, not one for each message", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(100)
      faults.decide = () => fails("permanent")
      faults.writable = () => fails("unavailable")
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.deepStrictEqual([faults.calls, faults.probes], [1, 1])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })

  it.effect("is met with one probe at a time, however many partitions wait, and with none on the good path", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const inner = yield* InvoiceStore
      const invoices = yield* store(60)
      let refuses = false
      let under = 0
      let most = 0
      const slow = InvoiceStore.of({
        ...inner,
        decide: (decisions) => (refuses ? Effect.fail(fails("permanent")) : inner.decide(decisions)),
        writable: Effect.gen(function* () {
          faults.probes++
          most = Math.max(most, ++under)
          yield* Effect.sleep("1 second")
          under--
          return yield* fails("unavailable")
        })
      })
      yield* publish(invoices.slice(0, 30).map((invoice) => about(invoice)))
      yield* Effect.forkScoped(
        Effect.flatMap(ValidateInvoices, ({ run }) => run).pipe(
          Effect.provide(ValidateInvoices.layer({ retryMillis: 1_000 })),
          Effect.provideService(InvoiceStore, slow)
        )
      )
      yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
      assert.strictEqual((yield* pending).length, 30)
      assert.strictEqual(faults.probes, 0)
      refuses = true
      yield* Effect.forkScoped(publish(invoices.slice(30).map((invoice) => about(invoice))))
      for (let second = 0; second < 60; second++) {
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(most, 1)
      // it takes a second, and the next one waits
      assert.isBelow(faults.probes, 45)
      assert.isAbove(faults.probes, 10)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 20 })))
  })

  it.live("that begins while a message is tried alone counts against nobody", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(10)
      const weak = invoices[9]?.id
      let away = false
      faults.decide = (decisions) => {
        if (decisions.length === 1 && decisions[0]?.id === weak) away = true
        return away || decisions.some(({ id }) => id === weak) ? fails("retryable") : undefined
      }
      faults.writable = () => (away ? fails("unavailable") : undefined)
      yield* publish(invoices.map((invoice) => about(invoice)))
      yield* running
      yield* until(Effect.map(pending, (ids) => ids.length === 1))
      const calls = faults.calls
      yield* until(Effect.sync(() => faults.calls > calls + 30))
      faults.decide = () => undefined
      faults.writable = () => undefined
      yield* until(Effect.map(pending, (ids) => ids.length === 0))
      assert.deepStrictEqual(yield* letters, [])
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1, maxTries: 3 })))
  })

  it.live("makes one letter of what can't be decoded, however often its batch is tried", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const invoices = yield* store(3)
      faults.decide = () => (faults.calls < 20 ? fails("unavailable") : undefined)
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
  it.effect("is not ready when its consumer has given up, until the next one has worked for a while", () => {
    const broken = { now: true }
    const consumer = MessageConsumer.of({
      subscribe: () =>
        broken.now ? Stream.fail(new ConsumerUnavailable({ cause: new Error("no broker") })) : Stream.never
    })
    return Effect.gen(function* () {
      const { ready, run } = yield* ValidateInvoices
      yield* ready
      const failure = yield* Effect.flip(run)
      assert.deepStrictEqual(yield* Effect.flip(ready), failure)
      broken.now = false
      yield* Effect.forkScoped(run)
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(yield* Effect.flip(ready), failure)
      yield* TestClock.adjust("2 seconds")
      yield* ready
    }).pipe(
      Effect.scoped,
      Effect.provide(
        ValidateInvoices.layer().pipe(
          Layer.provide(Layer.succeed(MessageConsumer, consumer)),
          Layer.provide(Layer.mergeAll(Memory.layer, Profile.layer(Profile.core), Broker.layer()))
        )
      )
    )
  })

  it.effect("is not ready when its consumer died, which ends the run as any other failure of it", () =>
    Effect.gen(function* () {
      const { ready, run } = yield* ValidateInvoices
      assert.strictEqual((yield* Effect.flip(run))._tag, "ConsumerUnavailable")
      assert.strictEqual((yield* Effect.flip(ready))._tag, "ConsumerUnavailable")
    }).pipe(
      Effect.provide(
        ValidateInvoices.layer().pipe(
          Layer.provide(
            Layer.succeed(MessageConsumer, MessageConsumer.of({ subscribe: () => Stream.die(new Error("a bug")) }))
          ),
          Layer.provide(Layer.mergeAll(Memory.layer, Profile.layer(Profile.core), Broker.layer()))
        )
      )
    )
  )

  it.live("works on other partitions while more of them wait than it works on at once", () => {
    const faults = noFaults()
    return Effect.gen(function* () {
      const stuck = yield* store(5)
      const fine = yield* store(1)
      const poison = new Set<string>(stuck.map(({ id }) => id))
      faults.decide = (decisions) => (decisions.some(({ id }) => poison.has(id)) ? fails("unavailable") : undefined)
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
      faults.decide = () => fails("unavailable")
      yield* publish(invoices.map((invoice) => about(invoice)))
      const fiber = yield* running
      yield* until(Effect.sync(() => faults.calls > 0))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* pending).length, 4)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { retryMillis: 60_000, finishMillis: 60_000 })))
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
      faults.decide = () => (faults.calls < 3 ? fails("unavailable") : undefined)
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
