import { InvoiceClient } from "@invoice/adapters/connect"
import { PostgresStore } from "@invoice/adapters/postgres"
import { InvoiceStore, Invoices as UseCases } from "@invoice/core"
import type { WatchStart } from "@invoice/core/Invoices"
import { Effect, Fiber, type ManagedRuntime, Option, Redacted, Stream } from "effect"
import { until } from "../../programs/Waiting.ts"
import * as Invoices from "../Invoices.ts"
import * as Noise from "../Noise.ts"
import { runtimeOf } from "../Quiet.ts"
import type { Outcome, Scene } from "../Scene.ts"
import type { Fault } from "./Fault.ts"
import { fall } from "./PostgresHarmed.ts"

/**
 * A client that watches all invoices from now on. After each error it connects again with the last cursor that it got.
 */
const watch = async (url: string) => {
  const runtime = runtimeOf(InvoiceClient.layerFetch({ baseUrl: url }))
  const shown = new Map<string, number>()
  const told = { CursorExpired: 0, InvalidCursor: 0, StoreUnavailable: 0 }
  let start: WatchStart = "now"
  let elements = 0
  const once = Effect.flatMap(UseCases, (invoices) =>
    invoices.watch(start).pipe(
      Stream.runForEach(({ change, cursor }) =>
        Effect.sync(() => {
          elements += 1
          start = { cursor }
          if (Option.isSome(change) && !shown.has(change.value.id)) shown.set(change.value.id, performance.now())
        })
      )
    )
  ).pipe(
    Effect.catch((error) => {
      told[error._tag] += 1
      // the cursor is no longer valid: start again from the oldest change
      if (error._tag !== "StoreUnavailable") start = "beginning"
      return Effect.sleep("50 millis")
    })
  )
  const fiber = runtime.runFork(Effect.forever(Effect.suspend(() => once)))
  // the first element shows that the watch has begun
  await until("the watch has begun", () => elements > 0)
  return {
    shown,
    told,
    stop: async (): Promise<void> => {
      await runtime.runPromise(Fiber.interrupt(fiber))
      await runtime.dispose()
    }
  }
}

/** Reads all changes after a cursor; or answers that the store calls the cursor expired or invalid. */
const readBehind = (store: ManagedRuntime.ManagedRuntime<InvoiceStore, unknown>, cursor: string) =>
  store.runPromise(
    Effect.gen(function* () {
      const { changes } = yield* InvoiceStore
      const ids = new Set<string>()
      for (let at = cursor; ; ) {
        const page = yield* changes({ cursor: at, limit: 500 })
        for (const { id } of page.changes) ids.add(id)
        if (page.changes.length === 0 && !page.more) return ids
        at = page.next
      }
    }).pipe(
      Effect.catchTags({
        CursorExpired: () => Effect.succeed("expired" as const),
        InvalidCursor: () => Effect.succeed("invalid" as const)
      })
    )
  )

const outcomeOf = (
  scene: Scene,
  made: ReadonlyMap<string, number>,
  shown: ReadonlyMap<string, number>,
  skipped: number,
  invalid: number
): Outcome => {
  const missing = [...made.keys()].filter((id) => !shown.has(id)).length
  const waited = [...made].reduce((most, [id, at]) => Math.max(most, (shown.get(id) ?? at) - at), 0) / 1_000
  return {
    judgement: {
      events: made.size,
      lost: missing + skipped,
      invented: 0,
      inversions: 0,
      duplicates: 0,
      lateDuplicates: 0,
      moved: 0,
      silence: waited,
      waited
    },
    notes: scene.notes,
    broken: [
      ...(invalid === 0 ? [] : [`${invalid} times a cursor of the store was called invalid`]),
      ...(missing === 0 ? [] : [`${missing} invoices were never shown by the watch, and nothing was said`]),
      ...(skipped === 0 ? [] : [`${skipped} invoices behind a cursor of the store were skipped, and nothing was said`])
    ]
  }
}

/** Cursors must outlive the server that made them: the cursor of a client's watch, and one from the store's `head`. */
const across: Fault = {
  number: 31,
  name: "watches across crashes of Postgres",
  topic: "left to the product",
  // the long form crashes it six times within half a minute, and each crash takes up to 5 s
  bound: 45,
  run: async (scene) => {
    const { postgres, long } = scene.world
    const api = await scene.program("api")
    const store = runtimeOf(PostgresStore.layer({ url: Redacted.make(scene.url), maxConnections: 2 }))
    const watching = await watch(api.url("api"))
    const made = new Map<string, number>()
    let skipped = 0
    let invalid = 0
    try {
      for (let round = 0; round < (long ? 6 : 3); round++) {
        // few transactions, so that their ids are soon used again, and sometimes many
        await Noise.some(postgres, scene.random.between(5, scene.random.chance(0.3) ? 300 : 15))
        const cursor = await store.runPromise(Effect.flatMap(InvoiceStore, ({ head }) => head))
        scene.notes.push(await fall(scene))
        const flow = Invoices.flow(scene.random.fork(`flow ${round}`), () => api.url("api"))
        await flow.more(30)
        await flow.stop()
        for (const id of flow.taken) made.set(id, performance.now())
        const behind = await readBehind(store, cursor)
        if (behind === "invalid") invalid += 1
        if (typeof behind !== "string") skipped += [...flow.taken].filter((id) => !behind.has(id)).length
      }
      await until("all are shown", () => [...made.keys()].every((id) => watching.shown.has(id)), { seconds: 10 }).catch(
        () => {}
      )
    } finally {
      await watching.stop()
      await store.dispose()
    }
    const { CursorExpired, InvalidCursor, StoreUnavailable } = watching.told
    scene.notes.push(
      `the watch was told ${StoreUnavailable} times to come back, ${CursorExpired} times that its cursor has expired`
    )
    return outcomeOf(scene, made, watching.shown, skipped, invalid + InvalidCursor)
  }
}

export const faults: ReadonlyArray<Fault> = [across]
