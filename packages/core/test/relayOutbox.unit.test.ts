/** A relay under a clock that the test turns: leases that run out, standbys, refusals to start, and the signal. */
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import {
  InvoiceStore,
  MessagePublisher,
  Outbox,
  OutboxRestored,
  OutboxSignal,
  OutboxUnavailable,
  PublishRefused,
  PublishTransient,
  RelayOutbox
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"

const ttlMillis = 10_000

/** A publisher that keeps what it is given, or fails while the broker is away. */
const makeBroker = () => {
  const broker = {
    away: false,
    tries: 0,
    sent: [] as Array<Message>,
    layer: Layer.succeed(
      MessagePublisher,
      MessagePublisher.of({
        publish: (messages) =>
          Effect.suspend(() => {
            broker.tries++
            if (broker.away) return Effect.fail(new PublishTransient({ cause: "away" }))
            broker.sent.push(...messages)
            return Effect.void
          }),
        ready: Effect.void
      })
    )
  }
  return broker
}

const changed = (change: (outbox: Outbox["Service"]) => Partial<Outbox["Service"]>) =>
  Layer.effect(
    Outbox,
    Effect.map(Outbox, (outbox) => Outbox.of({ ...outbox, ...change(outbox) }))
  ).pipe(Layer.provideMerge(Memory.layer))

const create = Effect.flatMap(InvoiceStore, (store) => store.create(Generators.invoice()))

/** Until it sleeps: the clock turns only for who has begun to. */
const start = Effect.flatMap(RelayOutbox, ({ run }) => Effect.forkScoped(run)).pipe(
  Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 50 }))
)

describe("a relay", () => {
  it.effect("that was stopped for longer than its lease sends nothing under it when it goes on", () => {
    const broker = makeBroker()
    let taken = false
    const ports = changed((outbox) => ({
      // a stopped process renews nothing, and meanwhile another one has taken its lane
      renew: () => Effect.never,
      acquire: (options) => (taken ? Effect.succeed(Option.none()) : outbox.acquire(options))
    }))
    return Effect.gen(function* () {
      broker.away = true
      yield* create
      yield* start
      yield* TestClock.adjust("2 seconds")
      assert.isAbove(broker.tries, 1)
      taken = true
      yield* TestClock.adjust(ttlMillis)
      const { tries } = broker
      broker.away = false
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(broker.tries, tries)
      assert.deepStrictEqual(broker.sent, [])
      taken = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual(broker.sent.length, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [ports, broker.layer]))
    )
  })

  it.effect("that can renew its lease goes on however long the broker is away", () => {
    const broker = makeBroker()
    return Effect.gen(function* () {
      broker.away = true
      yield* create
      yield* start
      yield* TestClock.adjust("10 minutes")
      const [lane] = (yield* (yield* Outbox).status).lanes
      assert.strictEqual(lane?.epoch, "1")
      broker.away = false
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(broker.sent.length, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [Memory.layer, broker.layer]))
    )
  })

  it.effect("that stands by takes over within half a second of a goodbye, and a second of a silence", () => {
    const broker = makeBroker()
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      const leader = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "leader", ttlMillis: 5_000 }))
      yield* create
      yield* start
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(broker.sent.length, 0)
      yield* outbox.release(leader)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(broker.sent.length, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [Memory.layer, broker.layer]))
    )
  })

  it.effect("takes a lane over whose holder says nothing any more", () => {
    const broker = makeBroker()
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      yield* outbox.acquire({ lane: 0, owner: "leader", ttlMillis: 5_000 })
      yield* create
      yield* start
      yield* TestClock.adjust("4900 millis")
      assert.strictEqual(broker.sent.length, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(broker.sent.length, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [Memory.layer, broker.layer]))
    )
  })

  it.effect("relays nothing of a restored outbox, says so, and begins when it is mended", () => {
    const broker = makeBroker()
    let restored = true
    const ports = changed((outbox) => ({
      acquire: (options) =>
        Effect.suspend(() =>
          restored ? Effect.fail(new OutboxRestored({ expected: "1", found: "2" })) : outbox.acquire(options)
        )
    }))
    return Effect.gen(function* () {
      const relay = yield* RelayOutbox
      yield* create
      yield* start
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(broker.tries, 0)
      assert.strictEqual((yield* Effect.flip(relay.ready))._tag, "OutboxRestored")
      restored = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(broker.sent.length, 1)
      yield* relay.ready
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(RelayOutbox.layer(), [ports, broker.layer])))
  })

  it.effect(
    "whose outbox does not answer says so within the time of its lease, and goes on when it answers again",
    () => {
      const broker = makeBroker()
      let silent = false
      const ports = changed((outbox) => {
        const unlessSilent = <A, E>(call: Effect.Effect<A, E>) => Effect.suspend(() => (silent ? Effect.never : call))
        return {
          read: (options) => unlessSilent(outbox.read(options)),
          renew: (lease, ttlMillis) => unlessSilent(outbox.renew(lease, ttlMillis)),
          acquire: (options) => unlessSilent(outbox.acquire(options)),
          commit: (lease, position) => unlessSilent(outbox.commit(lease, position))
        }
      })
      return Effect.gen(function* () {
        const relay = yield* RelayOutbox
        yield* create
        yield* start
        yield* TestClock.adjust("1 second")
        assert.strictEqual(broker.sent.length, 1)
        yield* relay.ready
        silent = true
        yield* create
        yield* TestClock.adjust(ttlMillis)
        assert.strictEqual((yield* Effect.flip(relay.ready))._tag, "OutboxUnavailable")
        silent = false
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(broker.sent.length, 2)
        yield* relay.ready
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [ports, broker.layer]))
      )
    }
  )

  it.effect("commits nothing after a failure of its outbox, and begins again at what is committed", () => {
    const broker = makeBroker()
    const committed: Array<string> = []
    const acquired: Array<string> = []
    let failing = false
    const ports = changed((outbox) => ({
      acquire: (options) =>
        Effect.tap(outbox.acquire(options), (lease) =>
          Effect.sync(() => acquired.push(...Option.toArray(lease).map(({ position }) => position)))
        ),
      read: (options) =>
        Effect.suspend(() =>
          failing ? Effect.fail(new OutboxUnavailable({ cause: "restarted" })) : outbox.read(options)
        ),
      commit: (lease, position) =>
        Effect.andThen(
          Effect.sync(() => committed.push(position)),
          outbox.commit(lease, position)
        )
    }))
    return Effect.gen(function* () {
      yield* create
      yield* start
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(committed, ["1"])
      yield* create
      failing = true
      yield* TestClock.adjust("1 second")
      failing = false
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([...new Set(acquired)], ["0", "1"])
      assert.deepStrictEqual(committed, ["1", "2"])
      assert.strictEqual(broker.sent.length, 2)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [ports, broker.layer]))
    )
  })

  it.effect("sends what a page's refusals leave once, and never the page again", () => {
    const sent: Array<Message> = []
    let sends = 0
    const poisoned = new Set<string | undefined>()
    const publisher = Layer.succeed(
      MessagePublisher,
      MessagePublisher.of({
        publish: (messages) =>
          Effect.suspend(() => {
            sends++
            const records = messages.flatMap(({ key }, index) => (poisoned.has(key) ? [{ index, reason: "no" }] : []))
            sent.push(...messages.filter(({ key }) => !poisoned.has(key)))
            return records.length === 0 ? Effect.void : Effect.fail(new PublishRefused({ records }))
          }),
        ready: Effect.void
      })
    )
    return Effect.gen(function* () {
      for (let count = 0; count < 100; count++) {
        const { stored } = yield* create
        if (count % 10 === 0) poisoned.add(stored.invoice.id)
      }
      yield* start
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(sent.length, 90)
      assert.strictEqual(sends, 1)
      assert.strictEqual((yield* (yield* Outbox).parked).length, 10)
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(RelayOutbox.layer(), [Memory.layer, publisher])))
  })

  it.effect("leaves a request for a replay standing when it reads parked events again", () => {
    const broker = makeBroker()
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      const { stored } = yield* create
      const lease = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "before", ttlMillis: 1_000 }))
      const { events } = yield* outbox.read({ lease, position: lease.position, limit: 10 })
      yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
      // the relay of before dies here: its position is not committed, so the event is read again
      assert.strictEqual(yield* outbox.replay(stored.invoice.id), 1)
      yield* TestClock.adjust("2 seconds")
      yield* start
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(
        broker.sent.map(({ key }) => key),
        [stored.invoice.id]
      )
      assert.deepStrictEqual(yield* outbox.parked, [])
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ leaseMillis: ttlMillis }), [Memory.layer, broker.layer]))
    )
  })

  it.effect("that idles reads at once when the signal comes", () => {
    const broker = makeBroker()
    const signal = OutboxSignal.make()
    return Effect.gen(function* () {
      yield* start
      yield* TestClock.adjust("10 seconds")
      yield* create
      yield* TestClock.adjust("2 millis")
      assert.strictEqual(broker.sent.length, 0)
      yield* signal.notify
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(broker.sent.length, 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RelayOutbox.layer({ idleMillis: 1_000 }), [Memory.layer, broker.layer])),
      Effect.provideService(OutboxSignal.OutboxSignal, signal)
    )
  })
})

describe("the signal", () => {
  it.effect("is heard also by who begins to listen after it rang", () =>
    Effect.gen(function* () {
      const signal = OutboxSignal.make()
      const before = yield* signal.count
      yield* signal.notify
      yield* signal.after(before)
      assert.strictEqual(yield* signal.count, before + 1)
    })
  )
})
