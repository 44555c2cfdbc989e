import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { Random } from "../faults/Random.ts"
import { Engine } from "./Engine.ts"
import { Process } from "./Process.ts"
import { withVirtualTimers } from "./VirtualTimers.ts"

const started = (): { engine: Engine; process: Process } => {
  const engine = new Engine()
  return { engine, process: new Process(engine, "program", new Random(1)) }
}

const never = (): boolean => false

describe("the engine", () => {
  it("lets things happen in the order of their times, and of those at one time in the order of their planning", async () => {
    const engine = new Engine()
    const random = new Random(7)
    const planned = Array.from({ length: 200 }, (_, order) => ({ time: random.between(0, 30), order }))
    const happened: typeof planned = []
    for (const one of planned) engine.at(one.time, undefined, () => happened.push(one))
    await engine.run(100, never)
    assert.deepEqual(
      happened,
      planned.toSorted((one, other) => one.time - other.time || one.order - other.order)
    )
    assert.strictEqual(engine.now, 100)
  })

  it("lets fibers and promises come to rest before time goes on", async () => {
    const { engine, process } = started()
    const seen: Array<string> = []
    process.fork(
      Effect.gen(function* () {
        yield* Effect.sleep("5 millis")
        yield* Effect.promise(async () => {
          for (let turn = 0; turn < 50; turn++) await Promise.resolve()
        })
        yield* Effect.yieldNow
        seen.push(`fiber at ${yield* Clock.currentTimeMillis}`)
      })
    )
    engine.at(5, undefined, () => seen.push("world"))
    await engine.run(10, never)
    assert.deepEqual(seen, ["fiber at 5", "world"])
  })

  it("does nothing that was cancelled", async () => {
    const { engine, process } = started()
    const fiber = process.fork(Effect.andThen(Effect.sleep("5 millis"), Effect.die("it went on")))
    engine.at(2, process, () => fiber.interruptUnsafe())
    await engine.run(10, never)
    assert.isTrue(fiber.pollUnsafe()?._tag === "Failure")
    assert.strictEqual(engine.happened, 1)
  })

  it("takes the timers of code that knows no Effect, for the program whose code it is", async () => {
    const { engine, process } = started()
    const seen: Array<number> = []
    await withVirtualTimers(engine, new Random(1), async () => {
      engine.at(1, process, () => {
        setTimeout(() => seen.push(Date.now()), 20)
        clearTimeout(setTimeout(() => seen.push(-1), 10))
      })
      engine.at(5, undefined, () => process.stop())
      engine.at(50, undefined, () => process.goOn())
      await engine.run(100, never)
    })
    assert.deepEqual(seen, [50])
    assert.isAbove(Date.now(), 1_000_000)
  })
})

describe("a program", () => {
  it("that is stopped finds all its timers due when it goes on, and its clock far ahead", async () => {
    const { engine, process } = started()
    const seen: Array<string> = []
    const sleeper = (name: string, millis: number) =>
      process.fork(
        Effect.gen(function* () {
          yield* Effect.sleep(`${millis} millis`)
          seen.push(`${name} ${yield* Clock.currentTimeNanos}`)
        })
      )
    sleeper("short", 10)
    sleeper("long", 20)
    engine.at(5, undefined, () => process.stop())
    engine.at(100, undefined, () => process.goOn())
    await engine.run(200, never)
    assert.deepEqual(seen, ["short 100000000", "long 100000000"])
  })

  it("that is killed finishes nothing", async () => {
    const { engine, process } = started()
    const seen: Array<string> = []
    const fiber = process.fork(
      Effect.ensuring(
        Effect.sleep("10 millis"),
        Effect.sync(() => seen.push("finalized"))
      )
    )
    engine.at(5, undefined, () => process.kill())
    engine.at(6, process, () => seen.push("heard"))
    await engine.run(50, never)
    assert.deepEqual(seen, [])
    assert.isUndefined(fiber.pollUnsafe())
    assert.isTrue(process.isDead)
  })

  it("that is asked to end does", async () => {
    const { engine, process } = started()
    const seen: Array<string> = []
    const fiber = process.fork(
      Effect.ensuring(
        Effect.never,
        Effect.sync(() => seen.push("finalized"))
      )
    )
    engine.at(5, undefined, () => process.fork(Fiber.interrupt(fiber)))
    await engine.run(50, never)
    assert.deepEqual(seen, ["finalized"])
  })
})
