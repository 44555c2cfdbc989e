/** What was written by the reference or by an earlier version is understood, wherever it is found. */
import { assert, describe, it } from "@effect/vitest"
import {
  DeadLetter,
  DeadLetters,
  InvoiceEvent,
  InvoiceStore,
  MessagePublisher,
  OutboxEvent,
  Profile,
  ProfileValidator,
  Timestamp,
  TopicReader,
  ValidateInvoices
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Stream } from "effect"
import * as Broker from "../src/memory/Broker.ts"
import * as Memory from "../src/memory/Memory.ts"
import * as MemoryStore from "../src/memory/MemoryStore.ts"
import { State } from "../src/memory/State.ts"

const topic = InvoiceEvent.topics.Pending
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array): string => new TextDecoder().decode(value)
const at = Timestamp.fromMillis(0)

/** As an earlier version published it. */
const formerly = ({ id }: { readonly id: string }): Message => ({
  topic,
  key: id,
  value: bytes(JSON.stringify({ id, status: "Pending", version: 1 })),
  headers: { ce_id: "1", ce_source: "/invoice", ce_type: "invoice.created", ce_subject: id, traceparent: "00-" }
})

const world = Layer.mergeAll(ValidateInvoices.layer(), DeadLetters.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(Memory.layer, ProfileValidator.layer(Profile.core), Broker.layer()))
)

describe("a message on new_invoice", () => {
  it.live("is judged whoever wrote it: this version, an earlier one, or the reference without key and headers", () =>
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      const { handle } = yield* ValidateInvoices
      const [ours, earlier, theirs] = [Generators.invoice(), Generators.invoice(), Generators.invoice()]
      for (const invoice of [ours, earlier, theirs]) yield* store.create(invoice)
      const draft = InvoiceEvent.created(ours.id)
      const verdicts = yield* handle([
        OutboxEvent.toMessage({ ...draft, id: "1", payload: bytes(draft.payload), at }),
        formerly(earlier),
        { topic, key: undefined, value: bytes(`{"id": "${theirs.id}"}`), headers: {} }
      ])
      assert.strictEqual(verdicts, 3)
      for (const { id } of [ours, earlier, theirs]) assert.strictEqual((yield* store.get(id)).status, "Approved")
    }).pipe(Effect.provide(world))
  )
})

describe("a dead letter of an earlier version", () => {
  it.live("is replayed with today's value and headers, so that a strict consumer doesn't end at it", () =>
    Effect.gen(function* () {
      const publisher = yield* MessagePublisher
      const reader = yield* TopicReader
      const { replay } = yield* DeadLetters
      const invoice = Generators.invoice()
      const former = formerly(invoice)
      const unhandled = { received: { message: former }, kind: "TriedTooOften", reason: "test", attempts: 10 } as const
      yield* publisher.publish([DeadLetter.toMessage(unhandled, at)])
      assert.deepStrictEqual(yield* replay({ topic }), { sent: 1, left: 0, refused: 0 })
      const [sent] = yield* Stream.runCollect(reader.read(topic))
      assert.strictEqual(text(sent?.message.value ?? bytes("")), `{"id":"${invoice.id}"}`)
      assert.deepStrictEqual(sent?.message.headers, { ...former.headers, ce_version: "1", ce_status: "Pending" })
    }).pipe(Effect.provide(world))
  )
})

describe("the changes of a store", () => {
  it.effect("leave out an event that tells of no invoice, and go on behind it", () =>
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      const { events } = yield* State
      const [first, last] = [Generators.invoice(), Generators.invoice()]
      yield* store.create(first)
      events.push({
        id: "1",
        topic: "orders",
        key: "7",
        type: "order.placed",
        version: 1,
        payload: bytes("no json"),
        at
      })
      yield* store.create(last)
      const page = yield* store.changes({ limit: 10 })
      assert.deepStrictEqual(
        page.changes.map(({ id }) => id),
        [first.id, last.id]
      )
      const [, change] = page.changes
      assert.deepStrictEqual((yield* store.changes({ cursor: change?.cursor, limit: 10 })).changes, [])
    }).pipe(Effect.provide(MemoryStore.layer.pipe(Layer.provideMerge(State.layer))))
  )
})
