/** A validator over memory and the in-process broker, whose store and publisher fail when a test says so. */
import { Broker, Memory } from "@invoice/adapters/memory"
import {
  DeadLetters,
  InvoiceEvent,
  InvoiceStore,
  MessagePublisher,
  Profile,
  ProfileValidator,
  type PublishRefused,
  type PublishTransient,
  StoreUnavailable,
  ValidateInvoices
} from "@invoice/core"
import type { Message } from "@invoice/core/Message"
import type { Decision } from "@invoice/core/ports/InvoiceStore"
import type * as Validating from "@invoice/core/ValidateInvoices"
import * as Generators from "@invoice/testing/Generators"
import { Effect, Layer, Schedule, Stream } from "effect"

export const topic = InvoiceEvent.topics.Pending

export const message = (value: string, key?: string): Message => ({
  topic,
  key,
  value: new TextEncoder().encode(value),
  headers: { traceparent: "00-" }
})

export const about = ({ id }: { readonly id: string }, key: string = id): Message =>
  message(JSON.stringify({ id }), key)

/** What a test can have fail. */
export interface Faults {
  decide: (decisions: ReadonlyArray<Decision>) => StoreUnavailable | undefined
  writable: () => StoreUnavailable | undefined
  /** A refusal has left everything unwritten that its meaning allows to be. */
  publish: (messages: ReadonlyArray<Message>) => PublishTransient | PublishRefused | undefined
  /** Calls of `decide`, and of `writable`. */
  calls: number
  probes: number
}

export const noFaults = (): Faults => ({
  decide: () => undefined,
  writable: () => undefined,
  publish: () => undefined,
  calls: 0,
  probes: 0
})

export const fails = (kind: StoreUnavailable["kind"]) =>
  new StoreUnavailable({ kind, cause: new Error("no space left on device") })

const faultyStore = (faults: Faults) =>
  Layer.effect(
    InvoiceStore,
    Effect.map(InvoiceStore, (store) =>
      InvoiceStore.of({
        ...store,
        decide: (decisions) =>
          Effect.suspend(() => {
            faults.calls++
            const failure = faults.decide(decisions)
            return failure === undefined ? store.decide(decisions) : Effect.fail(failure)
          }),
        writable: Effect.suspend(() => {
          faults.probes++
          const failure = faults.writable()
          return failure === undefined ? store.writable : Effect.fail(failure)
        })
      })
    )
  ).pipe(Layer.provideMerge(Memory.layer))

/** What is behind a refused message with its key is not written; all else is. */
const durable = (messages: ReadonlyArray<Message>, { records }: PublishRefused): ReadonlyArray<Message> => {
  const refused = new Set(records.map(({ index }) => index))
  const held = new Set<string>()
  return messages.filter(({ key }, index) => {
    if (refused.has(index) && key !== undefined) held.add(key)
    return !refused.has(index) && (key === undefined || !held.has(key))
  })
}

const faultyPublisher = (faults: Faults) =>
  Layer.effect(
    MessagePublisher,
    Effect.map(MessagePublisher, (publisher) =>
      MessagePublisher.of({
        ...publisher,
        publish: (messages) =>
          Effect.suspend(() => {
            const failure = faults.publish(messages)
            if (failure === undefined) return publisher.publish(messages)
            return failure._tag === "PublishRefused"
              ? Effect.andThen(publisher.publish(durable(messages, failure)), Effect.fail(failure))
              : Effect.fail(failure)
          })
      })
    )
  )

/** No group is known before it subscribes, so that publishing doesn't wait for the validator. */
export const world = (faults: Faults, options: Broker.Options & Validating.Options = {}) =>
  Layer.mergeAll(ValidateInvoices.layer({ retryMillis: 5, ...options }), DeadLetters.layer).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        faultyStore(faults),
        ProfileValidator.layer(Profile.core),
        faultyPublisher(faults).pipe(Layer.provideMerge(Broker.layer(options)))
      )
    )
  )

export const running = Effect.forkScoped(Effect.flatMap(ValidateInvoices, ({ run }) => run))

export const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (yes) => yes, schedule: Schedule.spaced("2 millis") })

export const store = (count: number) =>
  Effect.gen(function* () {
    const { create } = yield* InvoiceStore
    const invoices = Array.from({ length: count }, () => Generators.invoice())
    yield* Effect.forEach(invoices, (invoice) => create(invoice), { discard: true })
    return invoices
  })

export const publish = (messages: ReadonlyArray<Message>) =>
  Effect.flatMap(MessagePublisher, (publisher) => publisher.publish(messages))

export const pending = Effect.flatMap(InvoiceStore, ({ list }) =>
  Effect.map(list({ status: "Pending", limit: 200 }), ({ items }) => items.map(({ invoice }) => invoice.id))
)

export const deadLetters = Effect.flatMap(DeadLetters, ({ list }) => Stream.runCollect(list(topic)))

export const ready = Effect.flatMap(ValidateInvoices, (validate) => validate.ready)
