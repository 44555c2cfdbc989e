/** The laws of `OutboxContract` about how many events wait, and since when. */
import { assert } from "@effect/vitest"
import { Outbox } from "@invoice/core"
import { lagLimit } from "@invoice/core/ports/Outbox"
import { Clock, Effect } from "effect"
import type { BulkOptions } from "./ListLaws.ts"
import {
  atTheEnd,
  type Body,
  create,
  drain,
  fill,
  type Law,
  laneStatus,
  type MakeLaw,
  type Ports
} from "./OutboxLaw.ts"

const notPassed: Body = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    yield* outbox.commit(lease, position)
    const before = yield* laneStatus
    assert.strictEqual(before.events, 0)
    assert.strictEqual(before.seconds, 0)
    yield* create(5)
    const after = yield* laneStatus
    assert.strictEqual(after.events, 5)
    assert.isAtLeast(after.seconds, 0)
    const { next } = yield* outbox.read({ lease, position, limit: 2 })
    yield* outbox.commit(lease, next)
    assert.strictEqual((yield* laneStatus).events, 3)
  })
)

/** Events are dated in whole milliseconds. */
const roundingSeconds = 0.01

const age: Body = atTheEnd((lease, position) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const seconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1_000)
    yield* outbox.commit(lease, position)
    const before = yield* seconds
    yield* create(1)
    const written = yield* seconds
    // the law measures an age, so time has to pass
    yield* Effect.sleep("300 millis")
    yield* create(1)
    const asked = yield* seconds
    const lag = (yield* laneStatus).seconds
    const answered = yield* seconds
    assert.isAtLeast(lag, asked - written - roundingSeconds)
    assert.isAtMost(lag, answered - before + roundingSeconds)
    const { position: end } = yield* drain(lease, position, 10)
    yield* outbox.commit(lease, end)
    assert.strictEqual((yield* laneStatus).seconds, 0)
  })
)

/** How a test of the suite may leave many events in the outbox. */
export interface LagOptions extends BulkOptions {
  /** Leaves so many events in lane 0; by default they are written through the store, at its speed. */
  readonly fill?: ((events: number) => Effect.Effect<void, unknown, Ports>) | undefined
}

const counted = (options: LagOptions): Body =>
  atTheEnd((lease, position) =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      yield* outbox.commit(lease, position)
      yield* create(1)
      assert.strictEqual((yield* laneStatus).events, 1)
      yield* options.fill?.(lagLimit) ?? fill(lagLimit, options)
      assert.strictEqual((yield* laneStatus).events, lagLimit)
      yield* outbox.commit(lease, (yield* drain(lease, position, 10_000)).position)
      assert.strictEqual((yield* laneStatus).events, 0)
    })
  )

export const lagLaws = (law: MakeLaw, options: LagOptions): ReadonlyArray<Law> => [
  law("the status tells what the committed position has not passed", notPassed),
  law("the lag is the age of the oldest event that waits, in seconds", age),
  law("counting what waits stops at the limit", counted(options))
]
