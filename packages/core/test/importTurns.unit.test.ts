import { assert, describe, it } from "@effect/vitest"
import { ImportTurns } from "@invoice/core"
import { Deferred, Effect, Fiber, Stream } from "effect"

const numbers = (count: number) => Stream.fromIterable(Array.from({ length: count }, (_, index) => index))

/** Lets every fiber that can go on do so. */
const settle = Effect.repeat(Effect.yieldNow, { times: 200 })

describe("the turns of imports", () => {
  it.effect("bound what is at work, however many imports there are", () =>
    Effect.gen(function* () {
      const inTurns = ImportTurns.make(3)
      let [atWork, most] = [0, 0]
      const work = (item: number) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            atWork++
            most = Math.max(most, atWork)
          }),
          () => Effect.as(Effect.yieldNow, item),
          () => Effect.sync(() => void atWork--)
        )
      const results = yield* Effect.all(
        Array.from({ length: 10 }, () => Stream.runCollect(inTurns(numbers(20), work))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(most, 3)
      for (const result of results) assert.deepStrictEqual([...result], [...Array(20).keys()])
    })
  )

  it.effect("go to every import, also when another has far more items", () =>
    Effect.gen(function* () {
      const inTurns = ImportTurns.make(2)
      const done: Array<string> = []
      const work = (name: string) => () =>
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => void done.push(name))
        )
      yield* Effect.all(
        [
          Stream.runDrain(inTurns(numbers(1_000), work("large"))),
          Effect.andThen(settle, Stream.runDrain(inTurns(numbers(5), work("small"))))
        ],
        { concurrency: "unbounded" }
      )
      const before = done.slice(0, done.lastIndexOf("small")).filter((name) => name === "large").length
      assert.isBelow(before, 900)
    })
  )

  it.effect("are given back by an import that is broken off, and by one whose results nobody reads", () =>
    Effect.gen(function* () {
      const inTurns = ImportTurns.make(2)
      const never = yield* Deferred.make<void>()
      const broken = yield* Effect.forkChild(Stream.runDrain(inTurns(numbers(10), () => Deferred.await(never))))
      yield* settle
      yield* Fiber.interrupt(broken)
      const unread = yield* Effect.forkChild(
        Stream.runForEach(inTurns(numbers(500), Effect.succeed), () => Deferred.await(never))
      )
      yield* settle
      assert.deepStrictEqual([...(yield* Stream.runCollect(inTurns(numbers(3), Effect.succeed)))], [0, 1, 2])
      yield* Fiber.interrupt(unread)
    })
  )

  it.effect("leave items in the source that are not at work", () =>
    Effect.gen(function* () {
      const inTurns = ImportTurns.make(2)
      const never = yield* Deferred.make<void>()
      let taken = 0
      const source = Stream.tap(numbers(100), () => Effect.sync(() => void taken++))
      const fiber = yield* Effect.forkChild(Stream.runDrain(inTurns(source, () => Deferred.await(never))))
      yield* settle
      // two at work, and one that waits for its turn
      assert.strictEqual(taken, 3)
      yield* Fiber.interrupt(fiber)
    })
  )
})
