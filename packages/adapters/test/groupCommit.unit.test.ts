/** What group commit promises its callers while statements get no answer. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as GroupCommit from "../src/postgres/GroupCommit.ts"

const timeoutMillis = 5_000

/** A group whose statements run until `release`, and the requests of each statement as it begins. */
const make = Effect.gen(function* () {
  const statements = yield* Queue.unbounded<ReadonlyArray<number>>()
  const release = yield* Deferred.make<void>()
  const run = yield* GroupCommit.make({
    workers: 1,
    maxBatch: 10,
    timeoutMillis,
    timedOut: () => "late",
    blamesRow: (_: string) => false,
    write: (requests: ReadonlyArray<number>) =>
      Effect.andThen(
        Queue.offer(statements, requests),
        Effect.as(
          Deferred.await(release),
          requests.map((request) => Exit.succeed(request))
        )
      )
  })
  return { run, statements, release }
})

describe("a request of a group commit", () => {
  it.effect("fails at its own deadline while its statement gets no answer", () =>
    Effect.gen(function* () {
      const { run, statements } = yield* make
      const first = yield* Effect.forkChild(Effect.flip(run(1)))
      assert.deepStrictEqual(yield* Queue.take(statements), [1])
      yield* TestClock.adjust(timeoutMillis)
      assert.strictEqual(yield* Fiber.join(first), "late")
    })
  )

  it.effect("that waits behind a statement without an answer fails at its own deadline, and is never sent", () =>
    Effect.gen(function* () {
      const { release, run, statements } = yield* make
      const first = yield* Effect.forkChild(Effect.exit(run(1)))
      yield* Queue.take(statements)
      yield* TestClock.adjust(timeoutMillis - 1_000)
      // keeps the statement's other caller, so that it is not cancelled
      const second = yield* Effect.forkChild(Effect.exit(run(2)))
      yield* Effect.yieldNow
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(yield* Fiber.join(first), Exit.fail("late"))
      // the first statement is cancelled with its only caller, so the second runs, with what is left of its time
      assert.deepStrictEqual(yield* Queue.take(statements), [2])
      const third = yield* Effect.forkChild(Effect.exit(run(3)))
      yield* Effect.yieldNow
      yield* TestClock.adjust(timeoutMillis - 1_000)
      assert.deepStrictEqual(yield* Fiber.join(second), Exit.fail("late"))
      assert.deepStrictEqual(yield* Queue.take(statements), [3])
      yield* Deferred.succeed(release, undefined)
      assert.deepStrictEqual(yield* Fiber.join(third), Exit.succeed(3))
      assert.strictEqual(yield* Queue.size(statements), 0)
    })
  )

  it.effect("that is too late while others of its statement still wait does not take the statement from them", () =>
    Effect.gen(function* () {
      const statements = yield* Queue.unbounded<ReadonlyArray<number>>()
      const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let count = 0
      const run = yield* GroupCommit.make({
        workers: 1,
        maxBatch: 10,
        timeoutMillis,
        timedOut: () => "late",
        blamesRow: (_: string) => false,
        write: (requests: ReadonlyArray<number>) =>
          Effect.gen(function* () {
            yield* Queue.offer(statements, requests)
            yield* Deferred.await(gates[count++] ?? (yield* Deferred.make<void>()))
            return requests.map((request) => Exit.succeed(request))
          })
      })
      yield* Effect.forkChild(run(0))
      yield* Queue.take(statements)
      const early = yield* Effect.forkChild(Effect.exit(run(1)))
      yield* Effect.yieldNow
      yield* TestClock.adjust(1_000)
      const late = yield* Effect.forkChild(Effect.exit(run(2)))
      yield* Effect.yieldNow
      yield* Deferred.succeed(gates[0] ?? (yield* Deferred.make<void>()), undefined)
      assert.deepStrictEqual(yield* Queue.take(statements), [1, 2])
      yield* TestClock.adjust(timeoutMillis - 1_000)
      assert.deepStrictEqual(yield* Fiber.join(early), Exit.fail("late"))
      yield* Deferred.succeed(gates[1] ?? (yield* Deferred.make<void>()), undefined)
      assert.deepStrictEqual(yield* Fiber.join(late), Exit.succeed(2))
    })
  )
})
