import { assert, describe, it } from "@effect/vitest"
import { StoreUnavailable } from "@invoice/core"
import * as WriteProof from "@invoice/core/WriteProof"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

const no = new StoreUnavailable({ kind: "permanent", cause: new Error("no") })

const turns = Effect.repeat(Effect.yieldNow, { times: 50 })

/** Probes that end when the test says so. */
const probes = () => {
  const begun: Array<Deferred.Deferred<void, StoreUnavailable>> = []
  const writable = Effect.suspend(() => {
    const probe = Deferred.makeUnsafe<void, StoreUnavailable>()
    begun.push(probe)
    return Deferred.await(probe)
  })
  const end = (index: number, failure?: StoreUnavailable) => {
    const probe = begun[index]
    assert.isDefined(probe)
    return probe === undefined
      ? Effect.void
      : Effect.asVoid(failure === undefined ? Deferred.succeed(probe, undefined) : Deferred.fail(probe, failure))
  }
  return { begun, end, proof: WriteProof.make(writable, 1_000) }
}

describe("a proof that the store takes writes", () => {
  it.effect("begins after it was asked for, and one serves all who wait for it", () =>
    Effect.gen(function* () {
      const { begun, end, proof } = probes()
      const first = yield* Effect.forkChild(proof)
      yield* turns
      assert.strictEqual(begun.length, 1)
      const later = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(proof))
      yield* turns
      assert.strictEqual(begun.length, 1)
      yield* end(0)
      assert.isUndefined(yield* Fiber.join(first))
      yield* turns
      assert.strictEqual(begun.length, 2)
      assert.isTrue(later.every((fiber) => fiber.pollUnsafe() === undefined))
      yield* end(1)
      assert.deepStrictEqual(yield* Effect.forEach(later, Fiber.join), [undefined, undefined, undefined])
    })
  )

  it.effect("is not tried again before its wait is over, which doubles up to the longest", () =>
    Effect.gen(function* () {
      let times = 0
      const proof = WriteProof.make(
        Effect.suspend(() => {
          times++
          return Effect.fail(no)
        }),
        1_000
      )
      const waits: Array<number> = []
      for (let wait = 0, seen = 0; waits.length < 7; wait += 50) {
        const outcome = yield* proof
        assert.strictEqual(outcome?.kind, "unavailable")
        assert.strictEqual(outcome?.cause, no.cause)
        if (times > seen) {
          waits.push(wait)
          seen = times
          wait = 0
        }
        yield* TestClock.adjust("50 millis")
      }
      assert.deepStrictEqual(waits, [0, 50, 100, 200, 400, 800, 1_000])
    })
  )

  it.effect("is none for who waits for one that is called off", () =>
    Effect.gen(function* () {
      const { begun, end, proof } = probes()
      const leader = yield* Effect.forkChild(proof)
      yield* turns
      const [second, third] = yield* Effect.forEach([1, 2], () => Effect.tap(Effect.forkChild(proof), () => turns))
      assert.isDefined(second)
      assert.isDefined(third)
      if (second === undefined || third === undefined) return
      yield* Fiber.interrupt(second)
      assert.isDefined(yield* Fiber.join(third))
      yield* end(0)
      assert.isUndefined(yield* Fiber.join(leader))
      assert.strictEqual(begun.length, 1)
      const next = yield* Effect.forkChild(proof)
      yield* turns
      yield* end(1)
      assert.isUndefined(yield* Fiber.join(next))
    })
  )
})
