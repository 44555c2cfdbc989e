import { InvoiceClient } from "@invoice/adapters/connect"
import { PostgresStore } from "@invoice/adapters/postgres"
import { InvoiceStore, Invoices as UseCases } from "@invoice/core"
import { Effect, Exit, Fiber, ManagedRuntime, Redacted, Stream } from "effect"
import * as Invoices from "../Invoices.ts"
import * as Noise from "../Noise.ts"
import type { Outcome, Scene } from "../Scene.ts"
import { until } from "../Waiting.ts"
import type { Fault } from "./Fault.ts"
import { fall } from "./PostgresHarmed.ts"

/** A client that watches all invoices from now on; when its cursor has expired it begins with the oldest. */
const watch = async (url: string) => {
  const runtime = ManagedRuntime.make(InvoiceClient.layerFetch({ baseUrl: url }))
  const shown = new Map<string, number>()
  let elements = 0
  let expired = 0
  const from = (start: "now" | "beginning"): Effect.Effect<void, unknown, UseCases> =>
    Effect.flatMap(UseCases, (invoices) =>
      invoices.watch(start).pipe(
        Stream.runForEach(({ change }) =>
          Effect.sync(() => {
            elements += 1
            if (change._tag === "Some" && !shown.has(change.value.id)) shown.set(change.value.id, performance.now())
          })
        ),
        Effect.catchTag("CursorExpired", () => {
          expired += 1
          return from("beginning")
        })
      )
    )
  const fiber = runtime.runFork(from("now"))
  // the first element says that it is there
  await until("the watch has begun", () => elements > 0)
  return {
    shown,
    expired: () => expired,
    stop: async (): Promise<string | undefined> => {
      const exit = fiber.pollUnsafe()
      await runtime.runPromise(Fiber.interrupt(fiber))
      await runtime.dispose()
      return exit !== undefined && Exit.isFailure(exit) ? `the watch ended: ${exit.cause}` : undefined
    }
  }
}

/** Reads all changes behind a cursor; undefined when it is said to have expired. */
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
    }).pipe(Effect.catchTag("CursorExpired", () => Effect.succeed(undefined)))
  )

const outcomeOf = (
  scene: Scene,
  made: ReadonlyMap<string, number>,
  shown: ReadonlyMap<string, number>,
  skipped: number
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
      ...(missing === 0 ? [] : [`${missing} invoices were never shown by the watch, and nothing was said`]),
      ...(skipped === 0 ? [] : [`${skipped} invoices behind a cursor of the store were skipped, and nothing was said`])
    ]
  }
}

/** Cursors outlive the server that made them: on a client's watch, and one of the store's `head`. */
const across: Fault = {
  number: 31,
  name: "watches across crashes of Postgres",
  topic: "left to the product",
  bound: 20,
  run: async (scene) => {
    const { postgres, long } = scene.world
    const api = await scene.program("api")
    const store = ManagedRuntime.make(PostgresStore.layer({ url: Redacted.make(scene.url), maxConnections: 2 }))
    const watching = await watch(api.url("api"))
    const made = new Map<string, number>()
    let skipped = 0
    try {
      for (let round = 0; round < (long ? 6 : 3); round++) {
        const noise = Noise.make(postgres)
        await noise.more(scene.random.between(200, 600))
        const cursor = await store.runPromise(Effect.flatMap(InvoiceStore, ({ head }) => head))
        scene.notes.push(await fall(scene))
        await noise.stop()
        const flow = Invoices.flow(scene.random.fork(`flow ${round}`), () => api.url("api"))
        await flow.more(30)
        await flow.stop()
        for (const id of flow.taken) made.set(id, performance.now())
        const behind = await readBehind(store, cursor)
        if (behind !== undefined) skipped += [...flow.taken].filter((id) => !behind.has(id)).length
      }
      await until("all are shown", () => [...made.keys()].every((id) => watching.shown.has(id)), { seconds: 10 }).catch(
        () => {}
      )
      if (watching.expired() > 0) scene.notes.push(`the watch began anew ${watching.expired()} times`)
    } finally {
      const ended = await watching.stop()
      if (ended !== undefined) scene.notes.push(ended)
      await store.dispose()
    }
    return outcomeOf(scene, made, watching.shown, skipped)
  }
}

export const faults: ReadonlyArray<Fault> = [across]
