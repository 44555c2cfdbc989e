/** Calls that nobody answers: they end by their deadline, and the connection that was silent is not used again. */
import { assert, describe, it } from "@effect/vitest"
import { InvoiceStore, type Outbox } from "@invoice/core"
import * as Generators from "@invoice/testing/Generators"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { InvoiceClient, OutboxClient, StoreClient } from "../src/connect/index.ts"
import { grpcTransport } from "../src/connect/node.ts"
import { Memory } from "../src/memory/index.ts"
import { serve } from "./RpcServer.ts"
import * as SwallowingProxy from "./SwallowingProxy.ts"

const timeoutMillis = 300
/** For calls that must succeed, however busy the machine is: longer than a test may take. */
const patientMillis = 60_000

/** A store, the proxy in front of its server, and clients through it. */
const world = (ports: Layer.Layer<InvoiceStore | Outbox> = Memory.layer) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(ports)
    const url = yield* serve.pipe(Effect.provideContext(context))
    const proxy = yield* SwallowingProxy.make(Number(new URL(url).port))
    const transport = yield* grpcTransport({ baseUrl: `http://127.0.0.1:${proxy.port}` })
    return {
      proxy,
      inner: Context.get(context, InvoiceStore),
      store: StoreClient.make(transport, { timeoutMillis }),
      patient: StoreClient.make(transport, { timeoutMillis: patientMillis }),
      outbox: OutboxClient.make(transport, { timeoutMillis }),
      patientOutbox: OutboxClient.make(transport, { timeoutMillis: patientMillis }),
      invoices: InvoiceClient.make(transport, { timeoutMillis })
    }
  })

describe("a call over a connection that is half open", () => {
  it.live("fails by its deadline as unavailable, and the next one succeeds over a new connection", () =>
    Effect.gen(function* () {
      const { patient, patientOutbox, proxy, store } = yield* world()
      yield* patient.ready
      yield* patientOutbox.status
      assert.strictEqual(proxy.taken(), 1)
      proxy.swallow()
      const failure = yield* Effect.flip(store.getMany([Generators.invoice().id]))
      assert.strictEqual(failure.kind, "unavailable")
      assert.include(String(failure.cause), "deadline_exceeded")
      proxy.heal()
      yield* patient.ready
      yield* patientOutbox.status
      assert.strictEqual(proxy.taken(), 2)
    }).pipe(Effect.scoped)
  )

  it.live("fails by its deadline, whatever the call and the client", () =>
    Effect.gen(function* () {
      const { invoices, outbox, patient, proxy, store } = yield* world()
      yield* patient.ready
      proxy.swallow()
      const invoice = Generators.invoice()
      const failures = yield* Effect.all(
        [
          store.create(invoice),
          store.decide([]),
          store.writable,
          outbox.acquire({ lane: 0, owner: "one", ttlMillis: 1_000 }),
          outbox.parked,
          outbox.status,
          invoices.get(invoice.id)
        ].map((call) => Effect.flip(call as Effect.Effect<unknown, { readonly _tag: string }>)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        new Set(failures.map(({ _tag }) => _tag)),
        new Set(["StoreUnavailable", "OutboxUnavailable"])
      )
    }).pipe(Effect.scoped)
  )

  it.live("fails by its deadline too on a new connection that stays silent, which the next one does not wait for", () =>
    Effect.gen(function* () {
      const { patient, proxy, store } = yield* world()
      proxy.swallow()
      assert.strictEqual((yield* Effect.flip(store.ready)).kind, "unavailable")
      assert.strictEqual((yield* Effect.flip(store.ready)).kind, "unavailable")
      proxy.heal()
      yield* patient.ready
    }).pipe(Effect.scoped)
  )
})

describe("a deadline that passes while the server says something else", () => {
  it.live("costs its own call only: the others of the connection go on, and it is used again", () =>
    Effect.gen(function* () {
      const release = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const slow = Layer.effect(
        InvoiceStore,
        Effect.map(InvoiceStore, (store) =>
          InvoiceStore.of({
            ...store,
            head: Effect.andThen(Deferred.await(release), store.head),
            writable: Effect.never.pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)))
          })
        )
      ).pipe(Layer.provideMerge(Memory.layer))
      const { patient, proxy, store } = yield* world(slow)
      const waiting = yield* Effect.forkScoped(patient.head)
      const timedOut = yield* Effect.forkScoped(Effect.flip(store.writable))
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(patient.ready, Effect.sleep("20 millis"))))
      assert.strictEqual((yield* Fiber.join(timedOut)).kind, "unavailable")
      // the deadline travels: the server gives up as well
      yield* Deferred.await(interrupted)
      yield* patient.ready
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(waiting)
      assert.strictEqual(proxy.taken(), 1)
    }).pipe(Effect.scoped)
  )

  it.live("lets calls in hand on the connection that was silent go on, beside the new one", () =>
    Effect.gen(function* () {
      const release = yield* Deferred.make<void>()
      const slow = Layer.effect(
        InvoiceStore,
        Effect.map(InvoiceStore, (store) =>
          InvoiceStore.of({
            ...store,
            head: Effect.andThen(Deferred.await(release), store.head),
            writable: Effect.never
          })
        )
      ).pipe(Layer.provideMerge(Memory.layer))
      const { patient, proxy, store } = yield* world(slow)
      const waiting = yield* Effect.forkScoped(patient.head)
      yield* Effect.flip(store.writable)
      yield* patient.ready
      assert.strictEqual(proxy.taken(), 2)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(waiting)
    }).pipe(Effect.scoped)
  )
})
