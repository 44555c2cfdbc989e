/**
 * The laws of `Outbox`, for whoever writes an adapter. They write through the adapter's `InvoiceStore`.
 *
 * The laws hold lane 0 while they run: give the suite an outbox that no relay works on.
 */
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, LeaseLost, Outbox, Profile } from "@invoice/core"
import type { Recorded } from "@invoice/core/InvoiceEvent"
import type { Lease } from "@invoice/core/ports/Outbox"
import { Effect, Fiber, type Layer, Option } from "effect"
import * as Generators from "./Generators.ts"

type Ports = InvoiceStore | Outbox

export interface Law {
  readonly name: string
  /** Fails or dies when the law is broken. */
  readonly law: Effect.Effect<void, unknown>
}

const acquire = Effect.flatMap(Outbox, (outbox) =>
  Effect.map(
    outbox.acquire({ lane: 0, owner: crypto.randomUUID(), ttlMillis: 60_000 }),
    Option.getOrThrowWith(() => new Error("another relay holds lane 0"))
  )
)

/** Holds the lane while a law runs. */
const leased = <A, E>(use: (lease: Lease) => Effect.Effect<A, E, Ports>) =>
  Effect.acquireUseRelease(acquire, use, (lease) =>
    Effect.flatMap(Outbox, (outbox) => Effect.ignore(outbox.release(lease)))
  )

/** Everything after a position, and the position after it. */
const drain = (lease: Lease, from: string, limit: number) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const events: Array<Recorded> = []
    let position = from
    let more = true
    while (more) {
      const page = yield* outbox.read({ lease, position, limit })
      assert.isAtMost(page.events.length, limit)
      events.push(...page.events)
      position = page.next
      more = page.more
    }
    return { events, position }
  })

const create = (count: number) =>
  Effect.flatMap(InvoiceStore, (store) =>
    Effect.forEach(Array.from({ length: count }), () => {
      const invoice = Generators.invoice()
      return Effect.as(store.create(invoice), invoice)
    })
  )

/** The laws over a layer, one by one, so that a test can also see that a broken adapter fails them. */
export const laws = (layer: Layer.Layer<Ports, unknown>): ReadonlyArray<Law> => {
  const law = (name: string, effect: Effect.Effect<void, unknown, Ports>): Law => ({
    name,
    law: Effect.provide(effect, layer)
  })
  return [
    law(
      "everything is read once in pages of any size, in order of the changes of each key",
      leased((lease) =>
        Effect.gen(function* () {
          const store = yield* InvoiceStore
          const { position } = yield* drain(lease, lease.position, 1_000)
          const invoices = yield* create(11)
          yield* store.decide(
            invoices.map((invoice) => ({ id: invoice.id, version: 1, verdict: Profile.judge(Profile.core, invoice) }))
          )
          for (const limit of [1, 4, 22, 1_000]) {
            const { events } = yield* drain(lease, position, limit)
            assert.strictEqual(events.length, 22)
            assert.strictEqual(new Set(events.map(({ id }) => id)).size, 22)
            for (const { id } of invoices) {
              const versions = events.filter(({ key }) => key === id).map(({ version }) => version)
              assert.deepStrictEqual(versions, [1, 2])
            }
          }
        })
      )
    ),
    law(
      "a relay goes on where the last one committed, and not further",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const first = yield* leased((lease) =>
          Effect.gen(function* () {
            const { position } = yield* drain(lease, lease.position, 1_000)
            yield* create(2)
            const read = yield* drain(lease, position, 1_000)
            yield* outbox.commit(lease, read.position)
            yield* create(3)
            return yield* drain(lease, read.position, 1_000)
          })
        )
        const again = yield* leased((lease) => drain(lease, lease.position, 1_000))
        assert.strictEqual(first.events.length, 3)
        assert.deepStrictEqual(
          again.events.map(({ id }) => id),
          first.events.map(({ id }) => id)
        )
      })
    ),
    law(
      "a position within a window is remembered",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const rest = yield* leased((lease) =>
          Effect.gen(function* () {
            const { position } = yield* drain(lease, lease.position, 1_000)
            yield* create(7)
            const first = yield* outbox.read({ lease, position, limit: 2 })
            yield* outbox.commit(lease, first.next)
            return (yield* drain(lease, position, 1_000)).events.slice(2)
          })
        )
        const again = yield* leased((lease) => drain(lease, lease.position, 3))
        assert.deepStrictEqual(
          again.events.map(({ id }) => id),
          rest.map(({ id }) => id)
        )
      })
    ),
    law(
      "one relay holds a lane; the next one has a higher epoch",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const lease = yield* acquire
        assert.isTrue(Option.isNone(yield* outbox.acquire({ lane: 0, owner: "another", ttlMillis: 1_000 })))
        yield* outbox.release(lease)
        const next = Option.getOrThrow(yield* outbox.acquire({ lane: 0, owner: "another", ttlMillis: 60_000 }))
        assert.isTrue(BigInt(next.epoch) > BigInt(lease.epoch))
        yield* outbox.release(next)
      })
    ),
    law(
      "what a relay writes after it lost its lane is refused",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const lost = yield* acquire
        yield* outbox.release(lost)
        yield* leased((lease) =>
          Effect.gen(function* () {
            const { position } = yield* drain(lease, lease.position, 1_000)
            yield* create(1)
            const { events } = yield* drain(lease, position, 1_000)
            assert.strictEqual(events.length, 1)
            const refused = (write: Effect.Effect<void, unknown>) =>
              Effect.map(Effect.flip(write), (error) => assert.instanceOf(error, LeaseLost))
            yield* refused(outbox.commit(lost, lost.position))
            yield* refused(outbox.renew(lost, 1_000))
            yield* refused(outbox.park({ lease: lost, events, reason: "late", endsReplay: false }))
            const parked = Effect.map(outbox.parked, (keys) => keys.filter(({ key }) => key === events[0]?.key))
            assert.deepStrictEqual(yield* parked, [])
            yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
            yield* refused(outbox.unpark(lost, events))
            assert.strictEqual((yield* parked).length, 1)
            yield* outbox.unpark(lease, events)
          })
        )
      })
    ),
    law(
      "a lane whose lease has run out goes to the next relay, and its old holder is fenced off",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const old = yield* acquire
        const held = outbox.acquire({ lane: 0, owner: "the next", ttlMillis: 60_000 })
        assert.isTrue(Option.isNone(yield* held))
        // from now, not from what was left of it
        yield* outbox.renew(old, 1)
        const next = yield* Effect.gen(function* () {
          for (;;) {
            const taken = yield* held
            if (Option.isSome(taken)) return taken.value
            yield* Effect.sleep("2 millis")
          }
        }).pipe(Effect.timeout("3 seconds"))
        assert.isTrue(BigInt(next.epoch) > BigInt(old.epoch))
        assert.strictEqual((yield* Effect.flip(outbox.commit(old, old.position)))._tag, "LeaseLost")
        assert.strictEqual((yield* Effect.flip(outbox.renew(old, 60_000)))._tag, "LeaseLost")
        // the old holder's late goodbye doesn't free the lane
        yield* outbox.release(old)
        assert.isTrue(Option.isNone(yield* outbox.acquire({ lane: 0, owner: "a third", ttlMillis: 60_000 })))
        yield* outbox.release(next)
      })
    ),
    law(
      "the status tells who holds a lane, under which epoch and from where",
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const lane = Effect.map(outbox.status, ({ lanes }) => lanes[0] ?? assert.fail("there is no lane"))
        const lease = yield* acquire
        const held = yield* lane
        assert.deepStrictEqual(held.owner, Option.some(lease.owner))
        assert.strictEqual(held.epoch, lease.epoch)
        assert.strictEqual(held.position, lease.position)
        yield* outbox.release(lease)
        assert.deepStrictEqual((yield* lane).owner, Option.none())
        const { lanes } = yield* outbox.status
        assert.deepStrictEqual(
          lanes.map(({ lane }) => lane),
          lanes.map((_, index) => index)
        )
        const none = yield* outbox.acquire({ lane: lanes.length, owner: "nobody", ttlMillis: 1_000 })
        assert.deepStrictEqual(none, Option.none())
      })
    ),
    law(
      "an empty page leaves a position that goes on",
      leased((lease) =>
        Effect.gen(function* () {
          const outbox = yield* Outbox
          const { position } = yield* drain(lease, lease.position, 1_000)
          const empty = yield* outbox.read({ lease, position, limit: 10 })
          assert.deepStrictEqual(empty.events, [])
          assert.isFalse(empty.more)
          yield* create(1)
          assert.strictEqual((yield* drain(lease, empty.next, 10)).events.length, 1)
        })
      )
    ),
    law(
      "parked events are held back by key, listed, sent again in order when asked, and gone when sent",
      leased((lease) =>
        Effect.gen(function* () {
          const outbox = yield* Outbox
          const store = yield* InvoiceStore
          const { position } = yield* drain(lease, lease.position, 1_000)
          const [invoice] = yield* create(1)
          assert.isDefined(invoice)
          yield* store.decide([{ id: invoice.id, version: 1, verdict: Profile.judge(Profile.core, invoice) }])
          const { events } = yield* drain(lease, position, 1_000)
          yield* outbox.park({ lease, events: events.slice(0, 1), reason: "too large", endsReplay: false })
          yield* outbox.park({ lease, events: events.slice(1), reason: "an earlier one is parked", endsReplay: false })
          yield* outbox.park({ lease, events: events.slice(1), reason: "an earlier one is parked", endsReplay: false })
          const mine = Effect.map(outbox.parked, (keys) => keys.find(({ key }) => key === invoice.id))
          assert.strictEqual((yield* mine)?.events, 2)
          assert.isFalse((yield* mine)?.replay)
          assert.deepStrictEqual(yield* outbox.replayable(lease, 10), [])
          assert.strictEqual(yield* outbox.replay(invoice.id), 2)
          const again = yield* outbox.replayable(lease, 10)
          assert.deepStrictEqual(
            again.map(({ payload, version }) => [version, payload]),
            events.map(({ payload, version }) => [version, payload])
          )
          yield* outbox.unpark(lease, again.slice(0, 1))
          assert.strictEqual((yield* mine)?.events, 1)
          yield* outbox.unpark(lease, again.slice(1))
          assert.isUndefined(yield* mine)
          assert.strictEqual(yield* outbox.replay(invoice.id), 0)
        })
      )
    ),
    law(
      "the status tells what the committed position has not passed",
      leased((lease) =>
        Effect.gen(function* () {
          const outbox = yield* Outbox
          const { position } = yield* drain(lease, lease.position, 1_000)
          yield* outbox.commit(lease, position)
          const lane = Effect.map(outbox.status, ({ lanes }) => lanes[0] ?? assert.fail("there is no lane"))
          const before = yield* lane
          assert.strictEqual(before.events, 0)
          assert.strictEqual(before.seconds, 0)
          yield* create(5)
          const after = yield* lane
          assert.strictEqual(after.events, 5)
          assert.isAtLeast(after.seconds, 0)
        })
      )
    ),
    law(
      "with sixteen writers at work nothing is lost, repeated or out of order",
      leased((lease) =>
        Effect.gen(function* () {
          const store = yield* InvoiceStore
          const outbox = yield* Outbox
          let { position } = yield* drain(lease, lease.position, 1_000)
          const expected = new Set<string>()
          const writing = yield* Effect.forkChild(
            Effect.forEach(
              Array.from({ length: 320 }),
              () => {
                const invoice = Generators.invoice()
                expected.add(invoice.id)
                return Effect.andThen(
                  store.create(invoice),
                  store.decide([{ id: invoice.id, version: 1, verdict: Profile.judge(Profile.core, invoice) }])
                )
              },
              { concurrency: 16, discard: true }
            )
          )
          const seen: Array<Recorded> = []
          for (let idle = 0; idle < 5; ) {
            const page = yield* outbox.read({ lease, position, limit: 17 })
            seen.push(...page.events)
            position = page.next
            idle = page.events.length === 0 && !page.more && writing.pollUnsafe() !== undefined ? idle + 1 : 0
            yield* Effect.sleep("1 millis")
          }
          yield* Fiber.join(writing)
          assert.strictEqual(seen.length, 640)
          const last = new Map<string, number>()
          for (const { key, version } of seen) {
            assert.strictEqual(version, (last.get(key) ?? 0) + 1)
            last.set(key, version)
          }
          assert.deepStrictEqual(new Set(last.keys()), expected)
        })
      )
    )
  ]
}

export const suite = (name: string, layer: Layer.Layer<Ports, unknown>): void => {
  describe(name, () => {
    for (const { law, name: says } of laws(layer)) {
      it.live(says, () => law)
    }
  })
}
