/** The laws of `OutboxContract` about several instances of an outbox, at once or one after the other. */
import { assert } from "@effect/vitest"
import { LeaseLost, Outbox } from "@invoice/core"
import { Effect, Option } from "effect"
import {
  acquireAs,
  acquireFrom,
  atTheEnd,
  type Body,
  create,
  drain,
  type Elsewhere,
  ids,
  type Law,
  laneStatus,
  leased,
  type MakeLaw,
  parkedOf
} from "./OutboxLaw.ts"

/** The work left by a relay that published one of three events and parked another, for which a replay is requested. */
const leaveWork = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* create(3)
    const { events } = yield* drain(lease, position, 10)
    const [, parked] = events
    yield* outbox.commit(lease, (yield* outbox.read({ lease, position, limit: 1 })).next)
    yield* outbox.park({ lease, events: events.slice(1, 2), reason: "too large", endsReplay: false })
    yield* outbox.replay(parked?.key ?? "")
    return { lease, events, key: parked?.key, parked: yield* parkedOf(parked?.key) }
  })
)

const restart = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const before = yield* elsewhere(leaveWork)
    yield* elsewhere(
      leased((lease) =>
        Effect.gen(function* () {
          const outbox = yield* Outbox
          assert.isTrue(BigInt(lease.epoch) > BigInt(before.lease.epoch))
          assert.deepStrictEqual((yield* drain(lease, lease.position, 10)).events, before.events.slice(1))
          assert.deepStrictEqual(yield* parkedOf(before.key), before.parked)
          const again = yield* outbox.replayable(lease, 10)
          assert.deepStrictEqual(again, before.events.slice(1, 2))
          yield* outbox.unpark(lease, again)
        })
      )
    )
  })

const leaseOutlives = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const owner = crypto.randomUUID()
    const lease = Option.getOrThrow(
      yield* elsewhere(Effect.flatMap(Outbox, (outbox) => outbox.acquire({ lane: 0, owner, ttlMillis: 60_000 })))
    )
    yield* elsewhere(
      Effect.gen(function* () {
        const outbox = yield* Outbox
        assert.deepStrictEqual(yield* acquireAs("another"), Option.none())
        assert.deepStrictEqual((yield* laneStatus).owner, Option.some(owner))
        yield* outbox.renew(lease, 60_000)
        const again = Option.getOrThrow(yield* acquireAs(owner))
        assert.isTrue(BigInt(again.epoch) > BigInt(lease.epoch))
      })
    )
  })

const takeOver = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const here = yield* Outbox
    yield* elsewhere(
      Effect.gen(function* () {
        const there = yield* Outbox
        const old = Option.getOrThrow(yield* acquireFrom(here, "one"))
        assert.deepStrictEqual(yield* acquireFrom(there, "two"), Option.none())
        assert.deepStrictEqual((yield* there.status).lanes[0]?.owner, Option.some("one"))
        yield* here.release(old)
        const next = Option.getOrThrow(yield* acquireFrom(there, "two"))
        assert.isTrue(BigInt(next.epoch) > BigInt(old.epoch))
        assert.instanceOf(yield* Effect.flip(here.commit(old, old.position)), LeaseLost)
        assert.instanceOf(yield* Effect.flip(here.renew(old, 60_000)), LeaseLost)
        yield* here.release(old)
        assert.deepStrictEqual(yield* acquireFrom(here, "three"), Option.none())
      })
    )
  })

const sharedWork = (elsewhere: Elsewhere): Body =>
  atTheEnd((lease, position) =>
    Effect.gen(function* () {
      const here = yield* Outbox
      yield* elsewhere(
        Effect.gen(function* () {
          const there = yield* Outbox
          // written by the other instance, read and parked by this one
          const [invoice] = yield* create(1)
          const { events } = yield* Effect.provideService(drain(lease, position, 10), Outbox, here)
          assert.deepStrictEqual(
            events.map(({ key }) => key),
            [`${invoice?.id}`]
          )
          yield* here.park({ lease, events, reason: "too large", endsReplay: false })
          // listed and replayed through the other instance, replayable through this one
          assert.strictEqual((yield* parkedOf(invoice?.id))?.reason, "too large")
          assert.strictEqual(yield* there.replay(`${invoice?.id}`), 1)
          assert.deepStrictEqual(ids(yield* here.replayable(lease, 10)), ids(events))
          yield* here.unpark(lease, events)
          assert.isUndefined(yield* parkedOf(invoice?.id))
        })
      )
    })
  )

const races = (elsewhere: Elsewhere): Body =>
  Effect.gen(function* () {
    const here = yield* Outbox
    yield* elsewhere(
      Effect.gen(function* () {
        const there = yield* Outbox
        const taken = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? here : there)),
          (outbox, index) => acquireFrom(outbox, `racer ${index}`),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(taken.filter(Option.isSome).length, 1)
      })
    )
  })

export const outboxInstanceLaws = (law: MakeLaw, elsewhere: Elsewhere): ReadonlyArray<Law> => [
  law("positions, epochs and what is parked outlive the instance that wrote them", restart(elsewhere), "durable"),
  law("a lease outlives the instance that took it", leaseOutlives(elsewhere), "durable"),
  law(
    "a lane goes from one instance to another, and the old holder is fenced off",
    takeOver(elsewhere),
    "multiProcess"
  ),
  law("what one instance writes, parks or asks for another one sees", sharedWork(elsewhere), "multiProcess"),
  law("of many who ask through two instances one gets the lane", races(elsewhere), "multiProcess")
]
