/** The laws of `OutboxContract` about events that are held back, and how they are sent again. */
import { assert } from "@effect/vitest"
import { Outbox } from "@invoice/core"
import { Clock, Effect } from "effect"
import type { BulkOptions } from "./ListLaws.ts"
import { atTheEnd, type Body, create, decide, drain, fill, ids, type Law, type MakeLaw, parkedOf } from "./OutboxLaw.ts"

/** Runs a law that holds the lane, with `count` new invoices and the two events of each, in order. */
const decided = <A, E, R>(
  count: number,
  use: (written: Effect.Success<ReturnType<typeof write>>) => Effect.Effect<A, E, R>
) => atTheEnd((lease, position) => Effect.flatMap(write(count, lease, position), use))

const write = Effect.fnUntraced(function* (count: number, lease: Parameters<typeof drain>[0], position: string) {
  const invoices = yield* create(count)
  yield* decide(invoices)
  const { events } = yield* drain(lease, position, 1_000)
  const [key = "", other = ""] = invoices.map(({ id }) => id)
  return { lease, position, events, key, other, of: (key: string) => events.filter((event) => event.key === key) }
})

const lifeCycle: Body = decided(1, ({ events, key, lease }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events: events.slice(0, 1), reason: "too large", endsReplay: false })
    yield* outbox.park({ lease, events: events.slice(1), reason: "an earlier one is parked", endsReplay: false })
    yield* outbox.park({ lease, events: events.slice(1), reason: "an earlier one is parked", endsReplay: false })
    assert.strictEqual((yield* parkedOf(key))?.events, 2)
    assert.isFalse((yield* parkedOf(key))?.replay)
    assert.deepStrictEqual(yield* outbox.replayable(lease, 10), [])
    assert.strictEqual(yield* outbox.replay(key), 2)
    assert.isTrue((yield* parkedOf(key))?.replay)
    const again = yield* outbox.replayable(lease, 10)
    assert.deepStrictEqual(again, events)
    yield* outbox.unpark(lease, again.slice(0, 1))
    assert.strictEqual((yield* parkedOf(key))?.events, 1)
    yield* outbox.unpark(lease, again.slice(1))
    assert.isUndefined(yield* parkedOf(key))
    assert.strictEqual(yield* outbox.replay(key), 0)
    yield* outbox.unpark(lease, again)
    assert.isUndefined(yield* parkedOf(key))
  })
)

/** More than the difference between the clocks of two machines, and less than a time zone. */
const nearMillis = 60_000

const reason: Body = decided(1, ({ events, key, lease }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events: events.slice(0, 1), reason: "too large: żółć", endsReplay: false })
    const first = yield* parkedOf(key)
    assert.strictEqual(first?.reason, "too large: żółć")
    const now = yield* Clock.currentTimeMillis
    assert.isAtMost(Math.abs(Date.parse(first?.since ?? "") - now), nearMillis, first?.since)
    yield* outbox.park({
      lease,
      events: events.slice(1),
      reason: "an earlier event of the key is parked",
      endsReplay: false
    })
    yield* outbox.park({ lease, events, reason: "read again", endsReplay: false })
    assert.deepStrictEqual(yield* parkedOf(key), { ...first, events: 2 })
    yield* outbox.unpark(lease, events)
  })
)

const standing: Body = decided(1, ({ events, key, lease }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
    const first = yield* parkedOf(key)
    yield* outbox.replay(key)
    // a relay that begins again at the committed position reads and parks the same events again
    yield* outbox.park({ lease, events, reason: "read again", endsReplay: false })
    assert.deepStrictEqual(yield* parkedOf(key), { ...first, replay: true })
    assert.deepStrictEqual(yield* outbox.replayable(lease, 10), events)
    yield* outbox.unpark(lease, events)
  })
)

const refusedAgain: Body = decided(1, ({ events, key, lease }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
    const first = yield* parkedOf(key)
    for (const reason of ["still too large", "larger than ever"]) {
      yield* outbox.replay(key)
      yield* outbox.park({ lease, events, reason, endsReplay: true })
      assert.deepStrictEqual(yield* parkedOf(key), { ...first, reason, replay: false })
      assert.deepStrictEqual(yield* outbox.replayable(lease, 10), [])
    }
    assert.strictEqual(yield* outbox.replay(key), 2)
    assert.deepStrictEqual(yield* outbox.replayable(lease, 10), events)
    yield* outbox.unpark(lease, events)
  })
)

const onlyThatKey: Body = decided(3, ({ events, key, lease, of, other }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
    const untouched = yield* parkedOf(other)
    assert.strictEqual(yield* outbox.replay(key), 2)
    assert.deepStrictEqual(yield* outbox.replayable(lease, 10), of(key))
    assert.deepStrictEqual(yield* parkedOf(other), untouched)
    yield* outbox.unpark(lease, of(key))
    assert.deepStrictEqual(yield* parkedOf(other), untouched)
    assert.deepStrictEqual(yield* outbox.replayable(lease, 10), [])
    yield* outbox.unpark(lease, events)
  })
)

const limited: Body = decided(3, ({ events, lease, of }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
    const keys = new Set(events.map(({ key }) => key))
    for (const key of keys) yield* outbox.replay(key)
    let left = events.length
    while (left > 0) {
      const some = yield* outbox.replayable(lease, 3)
      assert.strictEqual(some.length, Math.min(left, 3))
      for (const key of keys) {
        const mine = some.filter((event) => event.key === key)
        assert.deepStrictEqual(
          ids(mine),
          ids(
            of(key)
              .slice(-((yield* parkedOf(key))?.events ?? 0))
              .slice(0, mine.length)
          )
        )
      }
      yield* outbox.unpark(lease, some)
      left -= some.length
    }
    assert.deepStrictEqual(yield* outbox.replayable(lease, 3), [])
  })
)

const notHidden: Body = decided(2, ({ events, lease, of, key, position }) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.park({ lease, events: of(key), reason: "too large", endsReplay: false })
    assert.deepStrictEqual((yield* drain(lease, position, 10)).events, events)
    yield* outbox.unpark(lease, of(key))
    assert.deepStrictEqual((yield* drain(lease, position, 3)).events, events)
  })
)

const most = 10_000

const mostParked = (bulk: BulkOptions): Body =>
  atTheEnd((lease, position) =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      yield* fill(most, bulk)
      const { events, position: end } = yield* drain(lease, position, most)
      yield* outbox.park({ lease, events, reason: "too large", endsReplay: false })
      const parked = yield* outbox.parked
      const mine = new Set(events.map(({ key }) => key))
      assert.strictEqual(
        parked.reduce((sum, { events, key }) => sum + (mine.has(key) ? events : 0), 0),
        most
      )
      yield* outbox.unpark(lease, events)
      assert.deepStrictEqual(
        (yield* outbox.parked).filter(({ key }) => mine.has(key)),
        []
      )
      yield* outbox.commit(lease, end)
    })
  )

export const parkingLaws = (law: MakeLaw, bulk: BulkOptions): ReadonlyArray<Law> => [
  law("parked events are held back by key, listed, sent again in order when asked, and gone when sent", lifeCycle),
  law("a parked key keeps the reason and the time of its first event, whatever is parked behind it", reason),
  law("a replay that was asked for stands when its events are parked again", standing),
  law("a replay that is refused again is over, and its key has the new reason", refusedAgain),
  law("a replay is asked for one key, and touches no other", onlyThatKey),
  law("no more events are replayable at once than asked for, those of a key in order", limited),
  law("10,000 events are parked at once", mostParked(bulk)),
  law("a read hides nothing: the events of a parked key are read again from where they were", notHidden)
]
