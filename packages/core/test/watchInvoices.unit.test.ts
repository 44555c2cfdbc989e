/** Many who watch: each is told everything, and idle ones don't each ask the store. */
import { assert, describe, it } from "@effect/vitest"
import { Memory } from "@invoice/adapters/memory"
import { InvoiceStore, Invoices, Profile, ProfileValidator } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Fiber, Layer, Option, Stream } from "effect"

const watchers = 50

/** Whose changes a watch tells first. */
const firstIds = (invoices: Invoices["Service"], count: number) =>
  invoices.watch("beginning").pipe(
    Stream.flatMap(({ change }) => Stream.fromIterable(Option.toArray(change))),
    Stream.map(({ id }) => id),
    Stream.take(count),
    Stream.runCollect
  )

describe("watches", () => {
  it.live("share one look at the store while nothing happens, and each hears of what does", () => {
    const asked = { changes: 0, head: 0 }
    const counting = Layer.effect(
      InvoiceStore,
      Effect.map(InvoiceStore, (store) => ({
        ...store,
        changes: (options) =>
          Effect.suspend(() => {
            asked.changes++
            return store.changes(options)
          }),
        head: Effect.suspend(() => {
          asked.head++
          return store.head
        })
      }))
    ).pipe(Layer.provide(Memory.layer))
    return Effect.gen(function* () {
      const invoices = yield* Invoices
      const [first, second] = [Generators.document(), Generators.document()]
      yield* invoices.create(first)
      const heard = yield* Effect.forEach(Array.from({ length: watchers }), () =>
        Effect.forkScoped(firstIds(invoices, 2))
      )
      // until each has looked once
      while (asked.changes < watchers) yield* Effect.sleep("10 millis")
      const before = { ...asked }
      const looks = 8
      while (asked.head < before.head + looks) yield* Effect.sleep("10 millis")
      assert.strictEqual(asked.changes, before.changes)
      yield* invoices.create(second)
      for (const fiber of heard) assert.deepStrictEqual(yield* Fiber.join(fiber), [first["id"], second["id"]])
      assert.isAtMost(asked.changes, before.changes + 2 * watchers)
    }).pipe(Effect.provide(Invoices.layer.pipe(Layer.provide([counting, ProfileValidator.layer(Profile.core)]))))
  })

  it.live("hear of everything that is committed while they look, each change once", () =>
    Effect.gen(function* () {
      const invoices = yield* Invoices
      const count = 300
      const heard = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        Effect.forkScoped(firstIds(invoices, count))
      )
      const ids: Array<unknown> = []
      for (let n = 0; n < count; n++) {
        const document = Generators.document()
        ids.push(document["id"])
        yield* invoices.create(document)
        if (n % 7 === 0) yield* Effect.sleep("3 millis")
      }
      for (const fiber of heard) assert.deepStrictEqual(yield* Fiber.join(fiber), ids)
    }).pipe(Effect.provide(Invoices.layer.pipe(Layer.provide([Memory.layer, ProfileValidator.layer(Profile.core)]))))
  )
})
