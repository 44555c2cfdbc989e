/** The laws of `OutboxContract` about who holds a lane, for how long, and who is refused. */
import { assert } from "@effect/vitest"
import { LeaseLost, Outbox } from "@invoice/core"
import type { Lease } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Option } from "effect"
import {
  acquire,
  acquireAs,
  atTheEnd,
  type Body,
  create,
  drain,
  type Law,
  laneStatus,
  leased,
  type MakeLaw,
  parkedOf
} from "./OutboxLaw.ts"

const refused = (write: Effect.Effect<void, unknown>) =>
  Effect.matchEffect(write, {
    onSuccess: () => Effect.die(new Error("a write went through that had to be refused")),
    onFailure: (error) => Effect.sync(() => assert.instanceOf(error, LeaseLost))
  })

/** Checks that every write under `lost` is refused and changes nothing, while `lease` holds the lane. */
const everyWriteRefused = (lost: Lease, lease: Lease) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const { position } = yield* drain(lease, lease.position, 10_000)
    yield* outbox.commit(lease, position)
    yield* create(2)
    const { events } = yield* drain(lease, position, 1_000)
    assert.strictEqual(events.length, 2)
    yield* refused(outbox.commit(lost, (yield* drain(lease, position, 1_000)).position))
    yield* refused(outbox.renew(lost, 1))
    const [first, second] = [events.slice(0, 1), events.slice(1)]
    yield* outbox.park({ lease, events: first, reason: "too large", endsReplay: false })
    yield* refused(outbox.park({ lease: lost, events: second, reason: "late", endsReplay: false }))
    assert.isUndefined(yield* parkedOf(second[0]?.key))
    yield* refused(outbox.unpark(lost, first))
    assert.strictEqual((yield* parkedOf(first[0]?.key))?.events, 1)
    yield* outbox.unpark(lease, first)
    assert.strictEqual((yield* laneStatus).position, position, "what was refused has moved nothing")
    // reading needs no valid lease
    assert.deepStrictEqual((yield* drain(lost, position, 1_000)).events, events)
    assert.deepStrictEqual(yield* outbox.replayable(lost, 10), [])
  })

/** Asks until it gets the lane, as a standby does. */
const acquireSoon = (owner: string) =>
  Effect.gen(function* () {
    for (;;) {
      const taken = yield* acquireAs(owner)
      if (Option.isSome(taken)) return taken.value
      yield* Effect.sleep("2 millis")
    }
  }).pipe(Effect.timeout("3 seconds"))

const higherEpoch: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const lease = yield* acquire
  assert.isTrue(Option.isNone(yield* outbox.acquire({ lane: 0, owner: "another", ttlMillis: 1_000 })))
  yield* outbox.release(lease)
  const next = Option.getOrThrow(yield* acquireAs("another"))
  assert.isTrue(BigInt(next.epoch) > BigInt(lease.epoch))
})

const lostWrites: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const lost = yield* acquire
  yield* outbox.release(lost)
  yield* leased((lease) => everyWriteRefused(lost, lease))
})

const otherOwner: Body = leased((lease) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const forged = { ...lease, owner: "another" }
    yield* everyWriteRefused(forged, lease)
    yield* outbox.release(forged)
    assert.deepStrictEqual(yield* acquireAs("a third"), Option.none())
  })
)

const sameOwner: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const before = yield* acquire
  const lease = Option.getOrThrowWith(
    yield* acquireAs(before.owner),
    () => new Error("the lane is not given to its owner")
  )
  assert.isTrue(BigInt(lease.epoch) > BigInt(before.epoch))
  yield* everyWriteRefused(before, lease)
  yield* outbox.release(before)
  assert.deepStrictEqual(yield* acquireAs("another"), Option.none())
  yield* outbox.renew(lease, 60_000)
})

const released: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const { events, lease } = yield* atTheEnd((lease, position) =>
    Effect.gen(function* () {
      yield* create(1)
      return { lease, ...(yield* drain(lease, position, 10)) }
    })
  )
  yield* refused(outbox.commit(lease, lease.position))
  yield* refused(outbox.renew(lease, 60_000))
  yield* refused(outbox.park({ lease, events, reason: "late", endsReplay: false }))
  yield* refused(outbox.unpark(lease, events))
  yield* outbox.release(lease)
  assert.deepStrictEqual((yield* laneStatus).owner, Option.none())
})

const runOut: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const old = yield* acquire
  assert.isTrue(Option.isNone(yield* acquireAs("the next")))
  // the new time counts from now, not from the end of the old time
  yield* outbox.renew(old, 1)
  const next = yield* acquireSoon("the next")
  assert.isTrue(BigInt(next.epoch) > BigInt(old.epoch))
  assert.strictEqual((yield* Effect.flip(outbox.commit(old, old.position)))._tag, "LeaseLost")
  assert.strictEqual((yield* Effect.flip(outbox.renew(old, 60_000)))._tag, "LeaseLost")
  // the old holder's late release doesn't free the lane
  yield* outbox.release(old)
  assert.isTrue(Option.isNone(yield* acquireAs("a third")))
})

/** The difference between two clocks of one machine, of which one counts whole milliseconds. */
const roundingMillis = 10

const duration: Body = Effect.gen(function* () {
  const ttlMillis = 300
  const askedAt = yield* Clock.currentTimeMillis
  const lease = Option.getOrThrow(yield* acquireAs("short", ttlMillis))
  const next = yield* acquireSoon("the next")
  const gotAt = yield* Clock.currentTimeMillis
  assert.isAtLeast(gotAt - askedAt, ttlMillis - roundingMillis, "the lease was not over")
  assert.isTrue(BigInt(next.epoch) > BigInt(lease.epoch))
})

/** A lease that has run out, of a lane that nobody has taken since. */
const expired = Effect.gen(function* () {
  const lease = Option.getOrThrow(yield* acquireAs(crypto.randomUUID(), 1))
  const isShown = Effect.map(laneStatus, ({ owner }) => Option.isSome(owner))
  while (yield* isShown) yield* Effect.sleep("2 millis")
  return lease
}).pipe(Effect.timeout("3 seconds"))

const renewedLate: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const lease = yield* expired
  yield* outbox.renew(lease, 60_000)
  assert.deepStrictEqual(yield* acquireAs("another"), Option.none())
  assert.deepStrictEqual((yield* laneStatus).owner, Option.some(lease.owner))
  yield* outbox.commit(lease, lease.position)
})

const notShown: Body = Effect.gen(function* () {
  const { epoch } = yield* expired
  const status = yield* laneStatus
  assert.deepStrictEqual(status.owner, Option.none())
  assert.strictEqual(status.epoch, epoch)
})

const race: Body = Effect.gen(function* () {
  const taken = yield* Effect.all(
    Array.from({ length: 20 }, (_, index) => acquireAs(`racer ${index}`)),
    { concurrency: "unbounded" }
  )
  assert.strictEqual(taken.filter(Option.isSome).length, 1)
})

const status: Body = Effect.gen(function* () {
  const outbox = yield* Outbox
  const lease = yield* acquire
  const held = yield* laneStatus
  assert.deepStrictEqual(held.owner, Option.some(lease.owner))
  assert.strictEqual(held.epoch, lease.epoch)
  assert.strictEqual(held.position, lease.position)
  yield* outbox.release(lease)
  assert.deepStrictEqual((yield* laneStatus).owner, Option.none())
  const { lanes } = yield* outbox.status
  assert.deepStrictEqual(
    lanes.map(({ lane }) => lane),
    lanes.map((_, index) => index)
  )
  const none = yield* outbox.acquire({ lane: lanes.length, owner: "nobody", ttlMillis: 1_000 })
  assert.deepStrictEqual(none, Option.none())
})

export const leaseLaws = (law: MakeLaw): ReadonlyArray<Law> => [
  law("one relay holds a lane; the next one has a higher epoch", higherEpoch),
  law("what a relay writes after it lost its lane is refused", lostWrites),
  law("what another owner writes under the lane's epoch is refused", otherOwner),
  law("a lane is given to its owner again under a higher epoch, and the lease before is lost", sameOwner),
  law("nothing is written under a lease that was released", released),
  law("a lane whose lease has run out goes to the next relay, and its old holder is fenced off", runOut),
  law("a lease lasts as long as it was asked for", duration),
  law("a lease that has run out is renewed while nobody has taken the lane", renewedLate),
  law("of twenty relays that ask at once one gets the lane", race),
  law("the status tells who holds a lane, under which epoch and from where", status),
  law("the status does not show an owner whose lease has run out", notShown)
]
