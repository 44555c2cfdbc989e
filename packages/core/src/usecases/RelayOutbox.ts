/**
 * Moves committed events from the outbox to the broker: at least once, in commit order of each key, nothing skipped.
 *
 * One relay holds a lane's lease, any number stand by; one relay may hold several lanes. The next page is read while the
 * last one is being sent. The position is committed only behind what the broker has acknowledged, at most ten times a
 * second. A broker that is unavailable is waited for; a record that it refuses for good parks its key, and only its key.
 *
 * A session under a lease ends with the first failure of the outbox, and its position is forgotten with it: the next one
 * begins at what is committed. So nothing that was read from one server is ever told to another.
 */
import { Cause, Clock, Context, Effect, Exit, Fiber, FiberMap, Layer, Option, Schedule } from "effect"
import type { LeaseLost, OutboxRestored, OutboxUnavailable } from "../domain/InvoiceError.ts"
import { MessagePublisher } from "../ports/MessagePublisher.ts"
import { Outbox, type OutboxPage } from "../ports/Outbox.ts"
import { OutboxSignal } from "../ports/OutboxSignal.ts"
import * as Deadline from "./Deadline.ts"
import * as OutboxDeadline from "./OutboxDeadline.ts"
import * as RelayLease from "./RelayLease.ts"
import * as RelayMetrics from "./RelayMetrics.ts"
import * as RelayPages from "./RelayPages.ts"

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
/** How long a stop waits for the outbox to take the position and the lane back. */
const goodbyeMillis = 2_000

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
  const outbox = OutboxDeadline.make(yield* Outbox)
  const publisher = yield* MessagePublisher
  const signal = yield* OutboxSignal
  const owner = options.owner ?? crypto.randomUUID()
  const limit = options.pageSize ?? 1_000
  const ttlMillis = options.leaseMillis ?? 10_000
  const idleMillis = Math.max(busyMillis, options.idleMillis ?? 50)
  const retryMillis = options.retryMillis ?? 1_000
  /** What keeps which lane from being relayed; `undefined` is the list of lanes itself. */
  const troubles = new Map<number | undefined, OutboxUnavailable | OutboxRestored>()

  const backOff = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced(`${retryMillis} millis`)]).pipe(
    Schedule.jittered
  )

  /** Waits, but no longer than until the signal comes; a millisecond more then, so that commits gather. */
  const idle = (millis: number, seen: number): Effect.Effect<void> =>
    millis === 0
      ? Effect.yieldNow
      : Effect.raceFirst(Effect.sleep(`${millis} millis`), Effect.andThen(signal.after(seen), Effect.sleep("1 millis")))

  const session = Effect.fnUntraced(function* (held: RelayLease.RelayLease) {
    const { lease } = held
    let position = lease.position
    let committed = lease.position
    const parked = new Set((yield* outbox.parked).map(({ key }) => key))
    const pages = RelayPages.make({ outbox, publisher, held, parked, backOff, limit })
    const read = (from: string) => outbox.read({ lease, position: from, limit })
    const commit = Effect.suspend(() => {
      const at = position
      return at === committed
        ? Effect.void
        : Effect.map(outbox.commit(lease, at), () => {
            committed = at
          })
    })

    /** Not cut off by a stop, but bounded: an event sent and not committed would be sent again. */
    const deliver = (page: OutboxPage): Effect.Effect<void, LeaseLost | OutboxUnavailable> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const sending = yield* Effect.forkDetach(
            Effect.interruptible(
              Effect.map(pages.relay(page.events), () => {
                position = page.next
              })
            )
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
      // counted before each read, so that no signal is missed between the two
      let seen = yield* signal.count
      let page = yield* read(lease.position)
      while (true) {
        if (page.events.length === 0) {
          position = page.next
          yield* idle(page.more ? 0 : wait, seen)
          wait = Math.min(wait * 2, idleMillis)
          seen = yield* signal.count
          page = yield* read(page.next)
        } else {
          wait = busyMillis
          seen = yield* signal.count
          const [next] = yield* Effect.all([read(page.next), deliver(page)], { concurrency: 2 })
          page = next
        }
        const now = yield* Clock.currentTimeMillis
        if (now - lastCommit >= commitEveryMillis) {
          yield* commit
          lastCommit = now
        }
        if (parked.size > 0 && now - lastReplay >= replayEveryMillis) {
          yield* pages.replay
          lastReplay = now
        }
      }
    })

    /** A stop commits and gives the lane back, in bounded time; after a failure neither is known to be right. */
    const goodbye = Effect.ignore(
      Deadline.within(Effect.andThen(commit, outbox.release(lease)), {
        millis: goodbyeMillis,
        orElse: () => "no answer"
      })
    )
    return yield* Effect.raceFirst(loop, held.keep).pipe(Effect.onInterrupt(() => goodbye))
  })

  const attempt = Effect.fnUntraced(function* (lane: number) {
    const askedAt = yield* Clock.currentTimeNanos
    const lease = yield* outbox.acquire({ lane, owner, ttlMillis })
    troubles.delete(lane)
    if (Option.isNone(lease)) {
      return yield* Effect.sleep(`${Math.min(standbyMillis, Math.ceil(ttlMillis / 4))} millis`)
    }
    const { epoch } = lease.value
    yield* Effect.logInfo("lane leased").pipe(Effect.annotateLogs({ lane, epoch }))
    yield* RelayMetrics.leased(lane, epoch)
    return yield* session(RelayLease.make(outbox, lease.value, ttlMillis, askedAt))
  })

  /** Relays one lane, or stands by for it, for ever: reading again from the lease's position makes all consistent. */
  const runLane = (lane: number): Effect.Effect<never> =>
    attempt(lane).pipe(
      Effect.catchTags({
        LeaseLost: (error) => Effect.as(Effect.logWarning(error.message), Math.min(200, retryMillis)),
        OutboxUnavailable: (error) => {
          troubles.set(lane, error)
          return Effect.logWarning(error.message).pipe(
            Effect.annotateLogs({ lane, error: error.cause }),
            Effect.as(Math.min(200, retryMillis))
          )
        },
        OutboxRestored: (error) => {
          troubles.set(lane, error)
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
          if (!wanted.value.includes(lane)) {
            yield* FiberMap.remove(running, lane)
            troubles.delete(lane)
          }
        }
        troubles.delete(undefined)
      } else {
        const trouble = Option.getOrUndefined(Cause.findErrorOption(wanted.cause))
        if (trouble !== undefined) troubles.set(undefined, trouble)
      }
      yield* Effect.sleep(`${Exit.isSuccess(wanted) ? refreshMillis : Math.min(200, retryMillis)} millis`)
    }
  }).pipe(Effect.scoped)

  return RelayOutbox.of({
    run,
    ready: Effect.suspend(() => {
      const [trouble] = troubles.values()
      return trouble === undefined ? Effect.void : Effect.fail(trouble)
    })
  })
})

const refreshMillis = 5_000

/** All lanes at once, so that a stop takes as long as the slowest of them. */
const stopAll = (running: FiberMap.FiberMap<number, never>): Effect.Effect<void> =>
  Effect.suspend(() => Fiber.interruptAll(Array.from(running, ([, fiber]) => fiber)))
