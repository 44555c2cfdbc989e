/**
 * Sends pages of events under a lease: waits for a broker that is unavailable, and parks the keys of records that it
 * refuses for good, so that no later event of a key overtakes a refused one.
 */
import { Effect, type Schedule } from "effect"
import type { LeaseLost, OutboxUnavailable, PublishRefused, PublishTransient } from "../domain/InvoiceError.ts"
import * as OutboxEvent from "../domain/OutboxEvent.ts"
import type { MessagePublisher } from "../ports/MessagePublisher.ts"
import type { Outbox } from "../ports/Outbox.ts"
import type { RelayLease } from "./RelayLease.ts"
import * as RelayMetrics from "./RelayMetrics.ts"
import * as Unsent from "./Unsent.ts"

type Events = ReadonlyArray<OutboxEvent.OutboxEvent>

export interface Options {
  readonly outbox: Outbox["Service"]
  readonly publisher: MessagePublisher["Service"]
  readonly held: RelayLease
  /** Keys whose events are parked; changes when keys are parked and replayed. */
  readonly parked: Set<string>
  /** The waits between tries while the broker is unavailable. */
  readonly backOff: Schedule.Schedule<unknown, PublishTransient | LeaseLost>
  /** Most parked events that are replayed at once. */
  readonly limit: number
}

const behind = "an earlier event of the key is parked"

/** The events that a refusal has left unsent, by key, with the reason for the first event of each key. */
const leftOf = (
  events: Events,
  refusal: PublishRefused
): ReadonlyMap<string, { readonly reason: string; readonly events: Events }> => {
  const reasons = new Map(refusal.records.map(({ index, reason }) => [index, reason]))
  const unsent = [...Unsent.indexes(events, refusal)].map((index) => ({ index, event: events[index] }))
  const keys = new Map<string, { reason: string; events: Array<OutboxEvent.OutboxEvent> }>()
  for (const { event, index } of unsent) {
    if (event === undefined) continue
    const key = keys.get(event.key)
    if (key === undefined) keys.set(event.key, { reason: reasons.get(index) ?? behind, events: [event] })
    else key.events.push(event)
  }
  return keys
}

/**
 * Sends until the broker has taken all events or has refused some. Fails when the lease ends: a relay that was
 * stopped for longer must not send anything new when it goes on.
 */
const send = (
  { backOff, held, publisher }: Options,
  events: Events
): Effect.Effect<PublishRefused | undefined, LeaseLost> =>
  held.check.pipe(
    Effect.andThen(RelayMetrics.timed(publisher.publish(events.map(OutboxEvent.toMessage)))),
    Effect.as(undefined),
    Effect.catchTag("PublishRefused", Effect.succeed),
    Effect.tapErrorTag("PublishTransient", (error) =>
      Effect.andThen(
        RelayMetrics.retried,
        Effect.logWarning("the broker is unavailable, events wait").pipe(
          Effect.annotateLogs({ events: events.length, error: error.cause })
        )
      )
    ),
    Effect.retry({ schedule: backOff, while: (error) => error._tag === "PublishTransient" }),
    Effect.catchTag("PublishTransient", Effect.die),
    (sending) => Effect.raceFirst(sending, held.expired)
  )

export const make = (options: Options) => {
  const { held, limit, outbox, parked } = options
  const { lease } = held

  /** Sends what can be sent and parks the rest; answers what was sent. */
  const deliver = Effect.fnUntraced(function* (events: Events, endsReplay: boolean) {
    const refused = events.length === 0 ? undefined : yield* send(options, events)
    const kept = new Set<OutboxEvent.OutboxEvent>()
    if (refused !== undefined) {
      for (const [key, { events: some, reason }] of leftOf(events, refused)) {
        yield* Effect.logError("key parked").pipe(Effect.annotateLogs({ key, reason, events: some.length }))
        yield* outbox.park({ lease, events: some, reason, endsReplay })
        parked.add(key)
        for (const event of some) kept.add(event)
      }
    }
    const sent = events.filter((event) => !kept.has(event))
    if (sent.length > 0) yield* RelayMetrics.produced(sent)
    return sent
  })

  /** Sends a page, except the events of parked keys: these are held back behind the refused event of their key. */
  const relay = Effect.fnUntraced(function* (events: Events): Effect.fn.Return<void, LeaseLost | OutboxUnavailable> {
    const late = parked.size === 0 ? [] : events.filter(({ key }) => parked.has(key))
    if (late.length > 0) {
      yield* outbox.park({ lease, events: late, reason: behind, endsReplay: false })
    }
    yield* deliver(late.length === 0 ? events : events.filter(({ key }) => !parked.has(key)), false)
  })

  /** Sends the events of requested replays again; those that are refused again stay parked, with the new reason. */
  const replay = Effect.gen(function* () {
    const events = yield* outbox.replayable(lease, limit)
    if (events.length === 0) return
    yield* outbox.unpark(lease, yield* deliver(events, true))
    parked.clear()
    for (const { key } of yield* outbox.parked) parked.add(key)
  })

  return { relay, replay }
}
