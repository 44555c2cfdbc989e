/** A subscriber of the contract suites: reads a topic and remembers every batch. */
import { assert } from "@effect/vitest"
import type { Message } from "@invoice/core/Message"
import { type MessageBatch, MessageConsumer, type Subscription } from "@invoice/core/ports/MessageConsumer"
import { Effect, Fiber, type Scope, Stream, SubscriptionRef } from "effect"

export interface Reading {
  /** What was handed out so far, in order. */
  readonly batches: () => ReadonlyArray<MessageBatch>
  readonly messages: () => ReadonlyArray<Message>
  /** Succeeds when the condition holds for what was handed out; fails when the stream does. */
  readonly until: (condition: () => boolean) => Effect.Effect<void, unknown>
  /** Interrupts the subscriber, whatever it is doing. */
  readonly close: Effect.Effect<void>
}

/**
 * Subscribes for as long as the scope is open. With `acknowledge: false` no batch is acknowledged, and its handler
 * never ends by itself.
 */
export const read = (
  subscription: Subscription,
  options: { readonly acknowledge: boolean } = { acknowledge: true }
): Effect.Effect<Reading, never, MessageConsumer | Scope.Scope> =>
  Effect.gen(function* () {
    const consumer = yield* MessageConsumer
    const ref = yield* SubscriptionRef.make<ReadonlyArray<MessageBatch>>([])
    const fiber = yield* consumer.subscribe(subscription).pipe(
      Stream.mapEffect(
        (batch) =>
          Effect.gen(function* () {
            assert.strictEqual(batch.topic, subscription.topic)
            assert.isNotEmpty(batch.messages)
            // remembered only after the acknowledgement, so that a waiting caller knows that the batch is acknowledged
            if (options.acknowledge) yield* batch.acknowledge
            yield* SubscriptionRef.update(ref, (batches) => [...batches, batch])
            if (!options.acknowledge) yield* Effect.never
          }),
        { concurrency: "unbounded" }
      ),
      Stream.runDrain,
      Effect.forkScoped
    )
    const batches = () => SubscriptionRef.getUnsafe(ref)
    return {
      batches,
      messages: () => batches().flatMap((batch) => batch.messages),
      until: (condition) =>
        Effect.raceFirst(
          SubscriptionRef.changes(ref).pipe(Stream.takeUntil(condition), Stream.runDrain),
          Effect.andThen(Fiber.join(fiber), Effect.die("the subscription ended by itself"))
        ),
      close: Fiber.interrupt(fiber)
    }
  })

/** Succeeds when the condition holds for the batches of all readings together. */
export const untilAny = (readings: ReadonlyArray<Reading>, condition: () => boolean): Effect.Effect<void, unknown> =>
  Effect.raceAll(readings.map((reading) => reading.until(condition)))
