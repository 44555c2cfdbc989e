/** The metrics of a relay. Lag and age are sampled, since each query of them is work for the outbox. */
import { Clock, Effect, Metric } from "effect"
import * as OutboxEvent from "../domain/OutboxEvent.ts"
import type { Outbox } from "../ports/Outbox.ts"

import * as RequestMetrics from "./RequestMetrics.ts"

const sampleMillis = 5_000

const messages = Metric.counter("kafka_total_produce_messages", {
  description: "Messages that the broker has acknowledged",
  incremental: true
})
const bytes = Metric.counter("kafka_total_produce_bytes", {
  description: "Bytes of the values of those messages",
  incremental: true
})
const pages = Metric.histogram("outbox_page_events", {
  description: "Events sent at once",
  boundaries: [1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]
})
const publishSeconds = Metric.histogram("outbox_publish_seconds", {
  description: "Seconds until the broker has acknowledged what was sent at once",
  boundaries: RequestMetrics.boundaries
})
const retries = Metric.counter("outbox_publish_retries_total", {
  description: "Sends that failed and are tried again",
  incremental: true
})
const lagEvents = Metric.gauge("outbox_lag_events", {
  description: "Committed events that are not published yet, by lane; counted up to 100,000"
})
const lagSeconds = Metric.gauge("outbox_lag_seconds", { description: "Age of the oldest of them, by lane" })
const oldestTransaction = Metric.gauge("outbox_oldest_transaction_seconds", {
  description: "Age of the oldest open transaction of the database system"
})
const parkedKeys = Metric.gauge("outbox_parked_keys", {
  description: "Keys whose events are held back since the broker refused one of them"
})
const epochs = Metric.gauge("outbox_lane_epoch", {
  description: "Epoch of the lease that this relay took last, by lane"
})

/** Counts events that the broker has acknowledged. */
export const produced = (events: ReadonlyArray<OutboxEvent.OutboxEvent>): Effect.Effect<void> => {
  const totals = new Map<string, { messages: number; bytes: number }>()
  for (const event of events) {
    const { bytes, messages } = totals.get(event.topic) ?? { messages: 0, bytes: 0 }
    totals.set(event.topic, { messages: messages + 1, bytes: bytes + OutboxEvent.messageValue(event).length })
  }
  return Effect.andThen(
    Metric.update(pages, events.length),
    Effect.forEach(
      totals,
      ([topic, total]) =>
        Effect.andThen(
          Metric.update(Metric.withAttributes(messages, { topic }), total.messages),
          Metric.update(Metric.withAttributes(bytes, { topic }), total.bytes)
        ),
      { discard: true }
    )
  )
}

/** Measures how long a successful send takes. */
export const timed = <A, E, R>(send: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeNanos, (from) =>
    Effect.tap(send, () =>
      Effect.flatMap(Clock.currentTimeNanos, (to) => Metric.update(publishSeconds, Number(to - from) / 1e9))
    )
  )

export const retried: Effect.Effect<void> = Metric.update(retries, 1)

export const leased = (lane: number, epoch: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(epochs, { lane: String(lane) }), Number(epoch))

/** Samples for ever; an outbox that is unavailable is reported by the relay. */
export const sample = (outbox: Outbox["Service"]): Effect.Effect<never> =>
  Effect.gen(function* () {
    const { lanes, oldestTransactionSeconds } = yield* outbox.status
    for (const { events, lane, seconds } of lanes) {
      yield* Metric.update(Metric.withAttributes(lagEvents, { lane: String(lane) }), events)
      yield* Metric.update(Metric.withAttributes(lagSeconds, { lane: String(lane) }), seconds)
    }
    yield* Metric.update(oldestTransaction, oldestTransactionSeconds)
    yield* Metric.update(parkedKeys, (yield* outbox.parked).length)
  }).pipe(Effect.ignore, Effect.andThen(Effect.sleep(`${sampleMillis} millis`)), Effect.forever)
