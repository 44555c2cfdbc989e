/**
 * Moves committed events from the outbox to the broker: at least once, in commit order of each key, nothing skipped.
 *
 * One relay holds a lane's lease, any number stand by; one relay may hold several lanes. The next page is read while the
 * last one is being sent. The position is committed only behind what the broker has acknowledged, at most ten times a
 * second. A broker that is away is waited for; a record that it refuses for good parks its key, and only its key.
 */
import { Cause, Clock, Context, Effect, Exit, Fiber, FiberMap, Layer, Option, Ref, Schedule } from "effect"
import { LeaseLost, type OutboxRestored, type OutboxUnavailable, type PublishRefused } from "./InvoiceError.ts"
import * as InvoiceEvent from "./InvoiceEvent.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"
import { type Lease, Outbox, type OutboxPage } from "./ports/Outbox.ts"
import { OutboxNudge } from "./ports/OutboxNudge.ts"
import * as RelayMetrics from "./RelayMetrics.ts"

export interface Options {
  /** Which lanes to relay; default all that the outbox has. */
  readonly lanes?: ReadonlyArray<number>
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
/** How often a standby asks for its lane, and a relay which lanes there are. */
const standbyMillis = 500
/** How often a relay that must not start (the outbox was restored) tries again. */
const refusedMillis = 5_000
/** How long a stop waits for the page in hand, so that it isn't sent twice. */
const finishMillis = 3_000

export class RelayOutbox extends Context.Service<
  RelayOutbox,
  {
    /** Relays until interrupted; then finishes the pages in hand, commits and gives the lanes back. */
    readonly run: Effect.Effect<never>
    /** Fails with what keeps it from relaying, if anything does. Standing by is ready. */
    readonly ready: Effect.Effect<void, OutboxUnavailable | OutboxRestored>
  }
>()("@invoice/core/RelayOutbox") {
  static readonly layer = (options: Options = {}): Layer.Layer<RelayOutbox, never, Outbox | MessagePublisher> =>
    Layer.effect(RelayOutbox, make(options))
}

declare const crypto: { readonly randomUUID: () => string }

const make = Effect.fnUntraced(function* (options: Options) {
  const outbox = yield* Outbox
  const publisher = yield* MessagePublisher
  const nudge = yield* OutboxNudge
  const owner = options.owner ?? crypto.randomUUID()
  const limit = options.pageSize ?? 1_000
  const ttlMillis = options.leaseMillis ?? 10_000
  const idleMillis = Math.max(busyMillis, options.idleMillis ?? 50)
  const retryMillis = options.retryMillis ?? 1_000
  let trouble: OutboxUnavailable | OutboxRestored | undefined

  const backOff = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced(`${retryMillis} millis`)]).pipe(
    Schedule.jittered
  )

  /**
   * Sends until the broker has it all; only a refusal comes out, and that the lease ran out: a relay that was stopped
   * for longer than its lease must not send anything new when it goes on.
   */
  const send = (
    held: Holding,
    events: ReadonlyArray<InvoiceEvent.Recorded>
  ): Effect.Effect<void, PublishRefused | LeaseLost> =>
    held.check.pipe(
      Effect.andThen(RelayMetrics.timed(publisher.publish(events.map(InvoiceEvent.toMessage)))),
      Effect.tapErrorTag("PublishTransient", (error) =>
        Effect.andThen(
          RelayMetrics.retried,
          Effect.logWarning("broker away, events wait").pipe(
            Effect.annotateLogs({ events: events.length, error: error.cause })
          )
        )
      ),
      Effect.catchTags({
        PublishRefused: (refused) => Effect.succeed(refused),
        LeaseLost: (lost) => Effect.succeed(lost)
      }),
      Effect.retry(backOff),
      Effect.orDie,
      Effect.flatMap((failure) => (failure === undefined ? RelayMetrics.produced(events) : Effect.fail(failure)))
    )

  /** Sends a page, but for the events of parked keys; those are held back behind the one that was refused. */
  const relay = Effect.fnUntraced(function* (
    held: Holding,
    parked: Set<string>,
    events: ReadonlyArray<InvoiceEvent.Recorded>
  ): Effect.fn.Return<void, LeaseLost | OutboxUnavailable> {
    let rest = events
    if (parked.size > 0) {
      const behind = events.filter(({ key }) => parked.has(key))
      if (behind.length > 0) {
        yield* outbox.park({ lease: held.lease, events: behind, reason: "an earlier event of the key is parked" })
        rest = events.filter(({ key }) => !parked.has(key))
      }
    }
    while (rest.length > 0) {
      const refused: PublishRefused | undefined = yield* send(held, rest).pipe(
        Effect.as(undefined),
        Effect.catchTag("PublishRefused", Effect.succeed)
      )
      if (refused === undefined) {
        return
      }
      rest = yield* park(held.lease, parked, rest, refused)
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
  const replay = Effect.fnUntraced(function* (held: Holding, parked: Set<string>) {
    const events = yield* outbox.replayable(held.lease, limit)
    if (events.length === 0) {
      return
    }
    const replaying = new Set<string>()
    yield* relay(held, replaying, events)
    yield* outbox.unpark(
      held.lease,
      events.filter(({ key }) => !replaying.has(key))
    )
    parked.clear()
    for (const { key } of yield* outbox.parked) {
      parked.add(key)
    }
  })

  /** Waits, but no longer than until the bell rings; a millisecond more then, so that commits gather. */
  const idle = (millis: number, rings: number): Effect.Effect<void> =>
    millis === 0
      ? Effect.yieldNow
      : Effect.raceFirst(Effect.sleep(`${millis} millis`), Effect.andThen(nudge.after(rings), Effect.sleep("1 millis")))

  const session = Effect.fnUntraced(function* (held: Holding) {
    const { lease } = held
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
            Effect.interruptible(relay(held, parked, page.events).pipe(Effect.andThen(Ref.set(position, page.next))))
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
      // counted before each read, so that no ring falls between the two
      let rings = yield* nudge.rings
      let page = yield* outbox.read({ lease, position: lease.position, limit })
      while (true) {
        if (page.events.length === 0) {
          yield* Ref.set(position, page.next)
          yield* idle(page.more ? 0 : wait, rings)
          wait = Math.min(wait * 2, idleMillis)
          rings = yield* nudge.rings
          page = yield* outbox.read({ lease, position: page.next, limit })
        } else {
          wait = busyMillis
          rings = yield* nudge.rings
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
          yield* replay(held, parked)
          lastReplay = now
        }
      }
    })

    const renew = Effect.forever(
      Effect.andThen(Effect.sleep(`${Math.ceil(ttlMillis / 3)} millis`), held.extend(outbox.renew(lease, ttlMillis)))
    )

    return yield* Effect.raceFirst(loop, renew).pipe(
      Effect.ensuring(Effect.ignore(Effect.andThen(commit, outbox.release(lease))))
    )
  })

  const attempt = Effect.fnUntraced(function* (lane: number) {
    const askedAt = yield* Clock.currentTimeNanos
    const lease = yield* outbox.acquire({ lane, owner, ttlMillis })
    trouble = undefined
    if (Option.isNone(lease)) {
      return yield* Effect.sleep(`${Math.min(standbyMillis, Math.ceil(ttlMillis / 4))} millis`)
    }
    const { epoch } = lease.value
    yield* Effect.logInfo("lane leased").pipe(Effect.annotateLogs({ lane, epoch }))
    yield* RelayMetrics.leased(lane, epoch)
    return yield* session(hold(lease.value, ttlMillis, askedAt))
  })

  /** Relays one lane, or stands by for it, for ever: reading again from the lease's position makes all consistent. */
  const runLane = (lane: number): Effect.Effect<never> =>
    attempt(lane).pipe(
      Effect.catchTags({
        LeaseLost: (error) => Effect.as(Effect.logWarning(error.message), Math.min(200, retryMillis)),
        OutboxUnavailable: (error) => {
          trouble = error
          return Effect.logWarning(error.message).pipe(
            Effect.annotateLogs({ error: error.cause }),
            Effect.as(Math.min(200, retryMillis))
          )
        },
        OutboxRestored: (error) => {
          trouble = error
          return Effect.as(Effect.logError(error.message), refusedMillis)
        }
      }),
      Effect.flatMap((millis) => (typeof millis === "number" ? Effect.sleep(`${millis} millis`) : Effect.void)),
      Effect.forever,
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.logError("a lane's relay died", cause).pipe(Effect.annotateLogs({ lane }))
      )
    )

  const lanes: Effect.Effect<ReadonlyArray<number>, OutboxUnavailable> = options.lanes === undefined
    ? Effect.map(outbox.status, (status) => status.lanes.map(({ lane }) => lane))
    : Effect.succeed(options.lanes)

  /** The lanes' number changes only while all of them are empty, so it is enough to look now and then. */
  const run = Effect.gen(function* () {
    const running = yield* FiberMap.make<number, never>()
    yield* Effect.addFinalizer(() => stopAll(running))
    yield* Effect.forkScoped(RelayMetrics.sample(outbox))
    while (true) {
      const wanted = yield* Effect.exit(lanes)
      if (Exit.isSuccess(wanted)) {
        for (const lane of wanted.value) {
          yield* FiberMap.run(running, lane, runLane(lane), { onlyIfMissing: true })
        }
        for (const [lane] of running) {
          if (!wanted.value.includes(lane)) yield* FiberMap.remove(running, lane)
        }
      } else {
        trouble = Option.getOrUndefined(Cause.findErrorOption(wanted.cause))
      }
      yield* Effect.sleep(`${Exit.isSuccess(wanted) ? refreshMillis : Math.min(200, retryMillis)} millis`)
    }
  }).pipe(Effect.scoped)

  return RelayOutbox.of({
    run,
    ready: Effect.suspend(() => (trouble === undefined ? Effect.void : Effect.fail(trouble)))
  })
})

const refreshMillis = 5_000

/** All lanes at once, so that a stop takes as long as the slowest of them. */
const stopAll = (running: FiberMap.FiberMap<number, never>): Effect.Effect<void> =>
  Effect.suspend(() => Fiber.interruptAll(Array.from(running, ([, fiber]) => fiber)))

/** A lease, and until when it is certain to be ours by this process' own clock. */
interface Holding {
  readonly lease: Lease
  /** Fails when the lease may have run out. */
  readonly check: Effect.Effect<void, LeaseLost>
  readonly extend: <E>(renew: Effect.Effect<void, E>) => Effect.Effect<void, E>
}

/**
 * The clock doesn't stop while a process is stopped, and isn't set like the time of day is. Counted from before the
 * request, so that this end comes before the one that the outbox knows.
 */
const hold = (lease: Lease, ttlMillis: number, askedAt: bigint): Holding => {
  const ttl = BigInt(ttlMillis) * 1_000_000n
  let until = askedAt + ttl
  return {
    lease,
    check: Effect.flatMap(Clock.currentTimeNanos, (now) =>
      now < until ? Effect.void : Effect.fail(new LeaseLost({ lane: lease.lane }))
    ),
    extend: (renew) =>
      Effect.flatMap(Clock.currentTimeNanos, (now) =>
        Effect.andThen(
          renew,
          Effect.sync(() => {
            until = now + ttl
          })
        )
      )
  }
}
