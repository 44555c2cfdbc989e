/** Many who watch: each is told everything once, and neither idle ones nor those who don't read cost much. */
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import { InvoiceStore, Invoices, Profile, ProfileValidator, StoreUnavailable } from "@invoice/core"
import type { WatchStart } from "@invoice/core/Invoices"
import * as Generators from "@invoice/testing/Generators"
import { Cause, Effect, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"

type Store = InvoiceStore["Service"]

/** How the store was asked for changes. */
interface Asked {
  changes: number
  atOnce: number
  mostAtOnce: number
  readonly limits: Array<number>
}

/** The use cases on a store of their own, which `wrap` may change. */
const world = (wrap: (store: Store) => Partial<Store> = () => ({})) => {
  const asked: Asked = { changes: 0, atOnce: 0, mostAtOnce: 0, limits: [] }
  const counted = Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) => {
      const wrapped = { ...store, ...wrap(store) }
      return {
        ...wrapped,
        changes: (options: Parameters<Store["changes"]>[0]) =>
          Effect.suspend(() => {
            asked.changes++
            asked.atOnce++
            asked.mostAtOnce = Math.max(asked.mostAtOnce, asked.atOnce)
            asked.limits.push(options.limit)
            return Effect.ensuring(
              wrapped.changes(options),
              Effect.sync(() => {
                asked.atOnce--
              })
            )
          })
      }
    })
  ).pipe(Layer.provide(Memory.layer))
  const layer = Invoices.layer.pipe(Layer.provide([counted, ProfileValidator.layer(Profile.core)]))
  return { asked, layer }
}

const unavailable = new StoreUnavailable({ kind: "unavailable", cause: new Error("down") })

const creating = (count: number) =>
  Effect.gen(function* () {
    const { create } = yield* Invoices
    const documents = Array.from({ length: count }, () => Generators.document())
    yield* Effect.forEach(documents, (document) => create(document))
    return documents.map((document) => document["id"])
  })

/** Whose changes a watch tells first. */
const firstIds = (start: WatchStart, count: number) =>
  Effect.flatMap(Invoices, ({ watch }) =>
    watch(start).pipe(
      Stream.flatMap(({ change }) => Stream.fromIterable(Option.toArray(change))),
      Stream.map(({ id }) => id as unknown),
      Stream.take(count),
      Stream.runCollect
    )
  )

/** A watch whose elements are taken one by one. */
const watching = (start: WatchStart) =>
  Effect.gen(function* () {
    const { watch } = yield* Invoices
    const pull = yield* Stream.toPull(Stream.rechunk(watch(start), 1))
    return Effect.map(pull, ([element]) => ({
      id: Option.getOrUndefined(Option.map(element.change, ({ id }) => id as unknown)),
      cursor: element.cursor
    }))
  })

describe("watches", () => {
  it.effect("that have seen everything share one reader, and each hears of what happens", () => {
    const watchers = 200
    const { asked, layer } = world()
    return Effect.gen(function* () {
      const [first] = yield* creating(1)
      const heard = yield* Effect.forEach(Array.from({ length: watchers }), () =>
        Effect.forkScoped(firstIds("beginning", 2))
      )
      yield* TestClock.adjust("5 seconds")
      const before = asked.changes
      yield* TestClock.adjust("10 seconds")
      assert.isAtMost(asked.changes - before, 100)
      assert.isAbove(asked.changes - before, 50)
      const [second] = yield* creating(1)
      yield* TestClock.adjust("1 seconds")
      for (const fiber of heard) assert.deepStrictEqual(yield* Fiber.join(fiber), [first, second])
      assert.isAtMost(asked.changes - before, 120)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("ask for nothing once the last one has ended", () => {
    const { asked, layer } = world()
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkScoped(firstIds("now", 1))
      yield* TestClock.adjust("5 seconds")
      assert.isAbove(asked.changes, 0)
      yield* Fiber.interrupt(fiber)
      const before = asked.changes
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(asked.changes, before)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("hear of everything that is committed while they look, each change once", () => {
    const { layer } = world()
    return Effect.gen(function* () {
      const { create } = yield* Invoices
      const count = 300
      const heard = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        Effect.forkScoped(firstIds("beginning", count))
      )
      const ids: Array<unknown> = []
      for (let n = 0; n < count; n++) {
        const document = Generators.document()
        ids.push(document["id"])
        yield* create(document)
        if (n % 7 === 0) yield* Effect.sleep("3 millis")
      }
      for (const fiber of heard) assert.deepStrictEqual(yield* Fiber.join(fiber), ids)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("that are behind read two at a time, and all of them get on", () => {
    const watchers = 50
    const { asked, layer } = world((store) => ({
      changes: (options) => Effect.delay(store.changes(options), "5 millis")
    }))
    return Effect.gen(function* () {
      const ids = yield* creating(2_000)
      const heard = yield* Effect.forEach(Array.from({ length: watchers }), () =>
        Effect.forkScoped(firstIds("beginning", ids.length))
      )
      yield* TestClock.adjust("20 seconds")
      for (const fiber of heard) assert.deepStrictEqual(yield* Fiber.join(fiber), ids)
      // two of them, and the reader that they share
      assert.isAtMost(asked.mostAtOnce, 3)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("that fall behind the pages that are kept lose and repeat nothing", () => {
    const violations = Array.from({ length: 100 }, () => ({
      code: "T",
      severity: "error" as const,
      path: "",
      message: ""
    }))
    const { asked, layer } = world((store) => ({
      changes: (options) =>
        Effect.map(store.changes(options), (page) => ({
          ...page,
          changes: page.changes.map((change) => ({ ...change, violations }))
        }))
    }))
    return Effect.gen(function* () {
      const slow = yield* watching("now")
      const first = yield* Effect.forkScoped(slow)
      yield* TestClock.adjust("1 seconds")
      assert.isUndefined((yield* Fiber.join(first)).id)
      const quick = yield* Effect.forkScoped(firstIds("now", 600))
      yield* TestClock.adjust("1 seconds")
      const ids: Array<unknown> = []
      // the tail keeps two of these pages
      for (let page = 0; page < 6; page++) {
        ids.push(...(yield* creating(100)))
        yield* TestClock.adjust("200 millis")
      }
      assert.deepStrictEqual(yield* Fiber.join(quick), ids)
      const before = asked.changes
      const rest = yield* Effect.forkScoped(Effect.forEach(ids, () => slow))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(rest)).map(({ id }) => id),
        ids
      )
      // it read by itself, and the tail did
      assert.isAbove(asked.changes - before, 10)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("whose clients do not read give their pages back, and go on from where they were", () => {
    const { asked, layer } = world()
    return Effect.gen(function* () {
      const ids = yield* creating(400)
      const watch = yield* watching("beginning")
      const told: Array<unknown> = []
      while (told.length < ids.length) {
        const some = yield* Effect.forkScoped(Effect.forEach(ids.slice(told.length).slice(0, 100), () => watch))
        yield* TestClock.adjust("1 seconds")
        told.push(...(yield* Fiber.join(some)).flatMap(({ id }) => id ?? []))
        // nobody asks for long
        yield* TestClock.adjust("1 minute")
      }
      assert.deepStrictEqual(told, ids)
      // after a pause it reads little at first
      assert.include(asked.limits, 16)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("give a sign of life with a newer cursor at least every 15 seconds", () => {
    const { layer } = world()
    return Effect.gen(function* () {
      const watch = yield* watching("now")
      const signs: Array<string> = []
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.map(watch, ({ cursor, id }) => {
            if (id === undefined) signs.push(cursor)
          })
        )
      )
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(signs.length, 1)
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(signs.length, 2)
      yield* creating(1)
      yield* TestClock.adjust("1 seconds")
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(signs.length, 3)
      assert.notStrictEqual(signs[2], signs[1])
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("on a store that can't end a read at a cursor hear everything once, too", () => {
    const { layer } = world((store) => ({ changes: ({ until: _, ...options }) => store.changes(options) }))
    return Effect.gen(function* () {
      const ids = yield* creating(700)
      const heard = yield* Effect.forkScoped(firstIds("beginning", 703))
      yield* TestClock.adjust("1 seconds")
      for (let n = 0; n < 3; n++) {
        ids.push(...(yield* creating(1)))
        yield* TestClock.adjust("1 seconds")
      }
      assert.deepStrictEqual(yield* Fiber.join(heard), ids)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("all fail when the store does, and go on from their cursors", () => {
    let isDown = false
    const { layer } = world((store) => ({
      changes: (options) => Effect.suspend(() => (isDown ? Effect.fail(unavailable) : store.changes(options)))
    }))
    return Effect.gen(function* () {
      const watches = yield* Effect.forEach(Array.from({ length: 5 }), () => watching("now"))
      const begun = yield* Effect.forkScoped(Effect.forEach(watches, (watch) => watch))
      yield* TestClock.adjust("1 seconds")
      const cursors = (yield* Fiber.join(begun)).map(({ cursor }) => cursor)
      const waiting = yield* Effect.forkScoped(
        Effect.forEach(watches, (watch) => Effect.exit(watch), { concurrency: "unbounded" })
      )
      isDown = true
      yield* TestClock.adjust("1 seconds")
      for (const exit of yield* Fiber.join(waiting)) {
        assert.deepStrictEqual(
          exit._tag === "Failure" ? Cause.findErrorOption(exit.cause) : exit,
          Option.some(unavailable)
        )
      }
      isDown = false
      const ids = yield* creating(3)
      const heard = yield* Effect.forkScoped(
        Effect.forEach(cursors, (cursor) => firstIds({ cursor }, 3), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 seconds")
      for (const told of yield* Fiber.join(heard)) assert.deepStrictEqual(told, ids)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})
