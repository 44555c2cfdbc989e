import { assert, describe, it } from "@effect/vitest"
import { Broker, Memory } from "@invoice/adapters/memory"
import {
  InvoiceEvent,
  InvoiceStore,
  MessageConsumer,
  MessagePublisher,
  Outbox,
  Profile,
  ProfileValidator,
  PublishRefused,
  PublishTransient,
  RelayOutbox,
  StoreUnavailable,
  ValidateInvoices
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Schedule, Stream } from "effect"

const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.flatMap(holds, (yes) => (yes ? Effect.void : Effect.fail("not yet" as const))).pipe(
    Effect.retry({ schedule: Schedule.spaced("5 millis"), times: 1_000 })
  )

const encoder = new TextEncoder()

const message = (text: string): Message => ({
  topic: InvoiceEvent.topics.Pending,
  key: undefined,
  value: encoder.encode(text),
  headers: {}
})

/** A publisher that keeps what it is given, but for what the test says that it refuses. */
const recording = (verdict: (messages: ReadonlyArray<Message>) => PublishTransient | PublishRefused | undefined) => {
  const sent: Array<Message> = []
  return {
    sent,
    layer: Layer.succeed(
      MessagePublisher,
      MessagePublisher.of({
        publish: (messages) =>
          Effect.suspend(() => {
            const failure = verdict(messages)
            const refused = new Set(failure?._tag === "PublishRefused" ? failure.records.map(({ index }) => index) : [])
            if (failure?._tag !== "PublishTransient") sent.push(...messages.filter((_, index) => !refused.has(index)))
            return failure === undefined ? Effect.void : Effect.fail(failure)
          }),
        ready: Effect.void
      })
    )
  }
}

describe("the validator", () => {
  it.live("tries again while the store is away, and skips nothing meanwhile (defect 8)", () =>
    Effect.gen(function* () {
      let outages = 3
      const away = Layer.effect(
        InvoiceStore,
        Effect.map(InvoiceStore, (store) =>
          InvoiceStore.of({
            ...store,
            decide: (decisions) =>
              outages-- > 0
                ? Effect.fail(new StoreUnavailable({ kind: "unavailable", cause: new Error("away") }))
                : store.decide(decisions)
          })
        )
      ).pipe(Layer.provideMerge(Memory.layer))
      yield* Effect.gen(function* () {
        const store = yield* InvoiceStore
        const publisher = yield* MessagePublisher
        const invoice = Generators.invoice()
        yield* store.create(invoice)
        yield* Effect.forkScoped(Effect.flatMap(ValidateInvoices, ({ run }) => run))
        yield* publisher.publish([message(JSON.stringify({ id: invoice.id }))])
        assert.strictEqual((yield* store.get(invoice.id)).status, "Approved")
      }).pipe(
        Effect.scoped,
        Effect.provide(
          ValidateInvoices.layer().pipe(
            Layer.provideMerge(
              Layer.mergeAll(
                away,
                ProfileValidator.layer(Profile.core),
                Broker.layer({ groups: [{ topic: InvoiceEvent.topics.Pending, group: "validation-service" }] })
              )
            )
          )
        )
      )
      assert.isBelow(outages, 0)
    })
  )

  it.live("puts what it can't handle on the dead-letter topic with the reason, and judges its neighbours", () => {
    const { layer, sent } = recording(() => undefined)
    return Effect.gen(function* () {
      const store = yield* InvoiceStore
      const { handle } = yield* ValidateInvoices
      const invoice = Generators.invoice({ amount: "1050.01" })
      yield* store.create(invoice)
      const unknown = Generators.invoice().id
      yield* handle([
        message("no json"),
        message(JSON.stringify({ id: invoice.id })),
        message(JSON.stringify({ id: unknown }))
      ])
      assert.strictEqual((yield* store.get(invoice.id)).status, "Rejected")
      assert.deepStrictEqual(
        sent.map(({ headers, topic }) => [topic, headers["dlq_reason"]]),
        [
          ["new_invoice.dlq", 'the value is not JSON like {"id": "<uuid>"}'],
          ["new_invoice.dlq", `there is no invoice ${unknown}`]
        ]
      )
    }).pipe(
      Effect.provide(
        ValidateInvoices.layer().pipe(
          Layer.provideMerge(
            Layer.mergeAll(
              Memory.layer,
              ProfileValidator.layer(Profile.core),
              layer,
              Layer.succeed(MessageConsumer, MessageConsumer.of({ subscribe: () => Stream.empty }))
            )
          )
        )
      )
    )
  })
})

describe("the relay", () => {
  it.live("waits for a broker that is away, then sends everything in order", () => {
    let outages = 4
    const { layer, sent } = recording(() =>
      outages-- > 0 ? new PublishTransient({ cause: new Error("away") }) : undefined
    )
    return Effect.gen(function* () {
      const store = yield* InvoiceStore
      const invoices = Array.from({ length: 5 }, () => Generators.invoice())
      yield* Effect.forEach(invoices, (invoice) => store.create(invoice))
      yield* Effect.forkScoped(Effect.flatMap(RelayOutbox, ({ run }) => run))
      yield* until(Effect.sync(() => sent.length >= 5))
      assert.deepStrictEqual(
        sent.map(({ key }) => key),
        invoices.map(({ id }) => id)
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(RelayOutbox.layer().pipe(Layer.provideMerge(Layer.mergeAll(Memory.layer, layer))))
    )
  })

  it.live("parks the key of a refused record and no other, and sends it again in order when asked", () => {
    let poison: string | undefined
    const { layer, sent } = recording((messages) => {
      const records = messages.flatMap(({ key }, index) => (key === poison ? [{ index, reason: "too large" }] : []))
      return records.length === 0 ? undefined : new PublishRefused({ records })
    })
    return Effect.gen(function* () {
      const store = yield* InvoiceStore
      const outbox = yield* Outbox
      const [first, bad, last] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
      poison = bad.id
      for (const invoice of [first, bad, last]) {
        yield* store.create(invoice)
        yield* store.decide([{ id: invoice.id, version: 1, verdict: Profile.judge(Profile.core, invoice) }])
      }
      yield* Effect.forkScoped(Effect.flatMap(RelayOutbox, ({ run }) => run))
      yield* until(Effect.sync(() => sent.length >= 4))
      assert.deepStrictEqual(
        sent.map(({ key }) => key),
        [first.id, first.id, last.id, last.id]
      )
      // the others are durable before it is parked
      yield* until(Effect.map(outbox.parked, (keys) => keys.length > 0))
      // what is refused is parked once the rest is sent
      yield* until(Effect.map(outbox.parked, ({ length }) => length === 1))
      const [parked] = yield* outbox.parked
      assert.deepStrictEqual([parked?.key, parked?.events, parked?.reason], [bad.id, 2, "too large"])
      poison = undefined
      yield* outbox.replay(bad.id)
      yield* until(Effect.sync(() => sent.length >= 6))
      assert.deepStrictEqual(
        sent.slice(4).map(({ headers, key, topic }) => [key, topic, headers["ce_type"]]),
        [
          [bad.id, "new_invoice", "invoice.created"],
          [bad.id, "invoice_approved", "invoice.approved"]
        ]
      )
      yield* until(Effect.map(outbox.parked, (keys) => keys.length === 0))
    }).pipe(
      Effect.scoped,
      Effect.provide(RelayOutbox.layer().pipe(Layer.provideMerge(Layer.mergeAll(Memory.layer, layer))))
    )
  })
})
