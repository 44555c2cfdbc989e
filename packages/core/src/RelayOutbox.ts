/**
 * Moves committed events from the outbox to the broker: at least once, in commit order of each key, nothing skipped.
 *
 * One relay holds a lane's lease, any number stand by. The next page is read while the last one is being sent. The
 * position is committed only behind what the broker has acknowledged, at most ten times a second. A broker that is away
 * is waited for; a record that it refuses for good parks its key, and only its key.
 */
import { Clock, Context, Effect, Fiber, Layer, Metric, Option, Ref, Schedule } from "effect"
import type { LeaseLost, OutboxUnavailable, PublishRefused } from "./InvoiceError.ts"
import * as InvoiceEvent from "./InvoiceEvent.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"
import { type Lease, Outbox, type OutboxPage } from "./ports/Outbox.ts"

export interface Options {
  /** Default 0. */
  readonly lane?: number
  /** Who this relay is among its standbys; default a random UUID. */
  readonly owner?: string
  /** Most events sent at once, 1 to 10,000, default 1,000. */
  readonly pageSize?: number
  /** How long a silent relay keeps its lane, in milliseconds; default 10,000. */
  readonly leaseMillis?: number
  /** Longest wait before an idle relay looks again, in milliseconds; default 50. A busy one looks after 5. */
  readonly idleMillis?: number
  /** Longest wait between two tries while outbox or broker is away, in milliseconds; default 1,000. */
  readonly retryMillis?: number
}

const busyMillis = 5
const commitEveryMillis = 100
const replayEveryMillis = 1_000
/** How long a stop waits for the page in hand, so that it isn't sent twice. */
const finishMillis = 3_000

export class RelayOutbox extends Context.Service<
  RelayOutbox,
  {
    /** Relays until interrupted; then finishes the page in hand, commits and gives the lane back. */
    readonly run: Effect.Effect<never>
  }
>()("@invoice/core/RelayOutbox") {
  static readonly layer = (options: Options = {}): Layer.Layer<RelayOutbox, never, Outbox | MessagePublisher> =>
    Layer.effect(RelayOutbox, make(options))
}

const produced = Metric.counter("kafka_total_produce_messages", {
  description: "Messages that the broker has acknowledged",
  incremental: true
})
const producedBytes = Metric.counter("kafka_total_produce_bytes", {
  description: "Bytes of the values of those messages",
  incremental: true
})

const countProduced = (events: ReadonlyArray<InvoiceEvent.Recorded>): Effect.Effect<void> => {
  const totals = new Map<string, { messages: number; bytes: number }>()
  for (const { payload, topic } of events) {
    const total = totals.get(topic) ?? { messages: 0, bytes: 0 }
    totals.set(topic, { messages: total.messages + 1, bytes: total.bytes + payload.length })
  }
  return Effect.forEach(
    totals,
    ([topic, { bytes, messages }]) =>
      Effect.andThen(
        Metric.update(Metric.withAttributes(produced, { topic }), messages),
        Metric.update(Metric.withAttributes(producedBytes, { topic }), bytes)
      ),
    { discard: true }
  )
}

declare const crypto: { readonly randomUUID: () => string }

const make = Effect.fnUntraced(function* (options: Options) {
  const outbox = yield* Outbox
  const publisher = yield* MessagePublisher
  const lane = options.lane ?? 0
  const owner = options.owner ?? crypto.randomUUID()
  const limit = options.pageSize ?? 1_000
  const ttlMillis = options.leaseMillis ?? 10_000
  const idleMillis = Math.max(busyMillis, options.idleMillis ?? 50)
  const backOff = Schedule.min([
    Schedule.exponential("20 millis"),
    Schedule.spaced(`${options.retryMillis ?? 1_000} millis`)
  ]).pipe(Schedule.jittered)

  /** Sends until the broker has it all; only a refusal comes out. */
  const send = (events: ReadonlyArray<InvoiceEvent.Recorded>): Effect.Effect<void, PublishRefused> =>
    publisher.publish(events.map(InvoiceEvent.toMessage)).pipe(
      Effect.tapErrorTag("PublishTransient", (error) =>
        Effect.logWarning("broker away, events wait").pipe(
          Effect.annotateLogs({ events: events.length, error: error.cause })
        )
      ),
      Effect.catchTag("PublishRefused", (refused) => Effect.succeed(refused)),
      Effect.retry(backOff),
      Effect.orDie,
      Effect.flatMap((refused) => (refused === undefined ? countProduced(events) : Effect.fail(refused)))
    )

  /** Sends a page, but for the events of parked keys; those are held back behind the one that was refused. */
  const relay = Effect.fnUntraced(function* (
    lease: Lease,
    parked: Set<string>,
    events: ReadonlyArray<InvoiceEvent.Recorded>
  ): Effect.fn.Return<void, LeaseLost | OutboxUnavailable> {
    let rest = events
    if (parked.size > 0) {
      const held = events.filter(({ key }) => parked.has(key))
      if (held.length > 0) {
        yield* outbox.park({ lease, events: held, reason: "an earlier event of the key is parked" })
        rest = events.filter(({ key }) => !parked.has(key))
      }
    }
    while (rest.length > 0) {
      const refused: PublishRefused | undefined = yield* send(rest).pipe(
        Effect.as(undefined),
        Effect.catchTag("PublishRefused", Effect.succeed)
      )
      if (refused === undefined) {
        return
      }
      rest = yield* park(lease, parked, rest, refused)
    }
  })

  /** Parks the refused events and what follows them of their keys; answers what is still to be sent. */
  const park = Effect.fnUntraced(function* (
    lease: Lease,
    parked: Set<string>,
    events: ReadonlyArray<InvoiceEvent.Recorded>,
    refused: PublishRefused
  ) {
    const reasons = new Map(refused.records.map(({ index, reason }) => [index, reason]))
    const held = new Map<string, { reason: string; events: Array<InvoiceEvent.Recorded> }>()
    const rest: Array<InvoiceEvent.Recorded> = []
    for (const [index, event] of events.entries()) {
      const reason = reasons.get(index)
      const key = held.get(event.key)
      if (key !== undefined) {
        key.events.push(event)
      } else if (reason !== undefined) {
        held.set(event.key, { reason, events: [event] })
      } else {
        rest.push(event)
      }
    }
    for (const [key, { events, reason }] of held) {
      yield* Effect.logError("key parked").pipe(Effect.annotateLogs({ key, reason, events: events.length }))
      yield* outbox.park({ lease, events, reason })
      parked.add(key)
    }
    return rest
  })

  /** Sends again what someone asked to replay; what is refused again stays parked, with the new reason. */
  const replay = Effect.fnUntraced(function* (lease: Lease, parked: Set<string>) {
    const events = yield* outbox.replayable(lease, limit)
    if (events.length === 0) {
      return
    }
    const replaying = new Set<string>()
    yield* relay(lease, replaying, events)
    yield* outbox.unpark(
      lease,
      events.filter(({ key }) => !replaying.has(key))
    )
    parked.clear()
    for (const { key } of yield* outbox.parked) {
      parked.add(key)
    }
  })

  const session = Effect.fnUntraced(function* (lease: Lease) {
    const position = yield* Ref.make(lease.position)
    const parked = new Set((yield* outbox.parked).map(({ key }) => key))
    let committed = lease.position
    const commit = Effect.gen(function* () {
      const at = yield* Ref.get(position)
      if (at !== committed) {
        yield* outbox.commit(lease, at)
        committed = at
      }
    })

    /** Not cut off by a stop, but bounded: an event sent and not committed would be sent again. */
    const deliver = (page: OutboxPage): Effect.Effect<void, LeaseLost | OutboxUnavailable> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const sending = yield* Effect.forkDetach(
            Effect.interruptible(relay(lease, parked, page.events).pipe(Effect.andThen(Ref.set(position, page.next))))
          )
          yield* restore(Fiber.join(sending)).pipe(
            Effect.onInterrupt(() =>
              Fiber.await(sending).pipe(
                Effect.timeoutOption(`${finishMillis} millis`),
                Effect.andThen(Fiber.interrupt(sending))
              )
            )
          )
        })
      )

    const loop = Effect.gen(function* () {
      let wait = busyMillis
      let lastCommit = yield* Clock.currentTimeMillis
      let lastReplay = lastCommit
      let page = yield* outbox.read({ lease, position: lease.position, limit })
      while (true) {
        if (page.events.length === 0) {
          yield* Ref.set(position, page.next)
          yield* Effect.sleep(page.more ? 0 : wait)
          wait = Math.min(wait * 2, idleMillis)
          page = yield* outbox.read({ lease, position: page.next, limit })
        } else {
          wait = busyMillis
          const [next] = yield* Effect.all([outbox.read({ lease, position: page.next, limit }), deliver(page)], {
            concurrency: 2
          })
          page = next
        }
        const now = yield* Clock.currentTimeMillis
        if (now - lastCommit >= commitEveryMillis) {
          yield* commit
          lastCommit = now
        }
        if (parked.size > 0 && now - lastReplay >= replayEveryMillis) {
          yield* replay(lease, parked)
          lastReplay = now
        }
      }
    })

    const renew = Effect.forever(
      Effect.andThen(Effect.sleep(`${Math.ceil(ttlMillis / 3)} millis`), outbox.renew(lease, ttlMillis))
    )

    return yield* Effect.raceFirst(loop, renew).pipe(
      Effect.ensuring(Effect.ignore(Effect.andThen(commit, outbox.release(lease))))
    )
  })

  const attempt = Effect.gen(function* () {
    const lease = yield* outbox.acquire({ lane, owner, ttlMillis })
    if (Option.isNone(lease)) {
      yield* Effect.logDebug("standing by").pipe(Effect.annotateLogs({ lane }))
      return yield* Effect.sleep(`${Math.ceil(ttlMillis / 4)} millis`)
    }
    yield* Effect.logInfo("lane leased").pipe(Effect.annotateLogs({ lane, epoch: lease.value.epoch }))
    return yield* session(lease.value)
  }).pipe(
    Effect.tapErrorTag("LeaseLost", (error) => Effect.logWarning(error.message)),
    Effect.tapErrorTag("OutboxUnavailable", (error) =>
      Effect.logWarning(error.message).pipe(Effect.annotateLogs({ error: error.cause }))
    ),
    // reading again from the lease's position is what makes an outbox that was away consistent again
    Effect.catch(() => Effect.sleep(`${Math.min(200, options.retryMillis ?? 1_000)} millis`))
  )

  return RelayOutbox.of({ run: Effect.forever(attempt) })
})
