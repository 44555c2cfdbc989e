/** How the validator runs: at once, one after the other, until it is stopped, and what it says of itself. */
import { assert, describe, it } from "@effect/vitest"
import { Broker, Memory } from "@invoice/adapters/memory"
import {
  ConsumerUnavailable,
  InvoiceStore,
  MessageConsumer,
  Profile,
  ProfileValidator,
  ValidateInvoices
} from "@invoice/core"
import { Deferred, Effect, Fiber, Layer, Metric, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  about,
  deadLetters,
  fails,
  message,
  noFaults,
  pending,
  publish,
  running,
  store,
  topic,
  until,
  world
} from "./ValidatorWorld.ts"

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
          Layer.provide(Layer.mergeAll(Memory.layer, ProfileValidator.layer(Profile.core), Broker.layer()))
        )
      )
    )
  })

  it.effect("is not ready at once when a consumer gives up that had worked for long", () =>
    Effect.gen(function* () {
      const { ready, run } = yield* ValidateInvoices
      const running = yield* Effect.forkScoped(Effect.flip(run))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Effect.flip(ready), yield* Fiber.join(running))
    }).pipe(
      Effect.scoped,
      Effect.provide(
        ValidateInvoices.layer().pipe(
          Layer.provide(
            Layer.succeed(
              MessageConsumer,
              MessageConsumer.of({
                subscribe: () =>
                  Stream.fromEffect(
                    Effect.andThen(
                      Effect.sleep("30 seconds"),
                      Effect.fail(new ConsumerUnavailable({ cause: new Error("no broker") }))
                    )
                  )
              })
            )
          ),
          Layer.provide(Layer.mergeAll(Memory.layer, ProfileValidator.layer(Profile.core), Broker.layer()))
        )
      )
    )
  )

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
          Layer.provide(Layer.mergeAll(Memory.layer, ProfileValidator.layer(Profile.core), Broker.layer()))
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

  it.live("counts tries that failed, dead letters by the kind of reason, and the sizes of batches", () => {
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
      yield* until(Effect.map(deadLetters, (all) => all.length === 1))
      yield* until(Effect.map(value("dead_letters_total", "Undecodable"), (count) => count === before + 1))
      assert.strictEqual(yield* value("consumer_retries_total", group), 2)
      assert.strictEqual(yield* value("consumer_batch_messages", group), 1)
    }).pipe(Effect.scoped, Effect.provide(world(faults, { partitions: 1 })))
  })
})
