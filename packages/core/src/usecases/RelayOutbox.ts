/**
 * Moves committed events from the outbox to the broker: at least once, in commit order of each key, nothing skipped.
 *
 * One relay holds a lane's lease and any number of relays stand by; one relay may hold several lanes. The position is
 * committed only after the broker has acknowledged the events before it, at most ten times a second. A broker that is
 * unavailable is waited for; a record that it refuses for good parks its key, and only its key.
 */
import { Cause, Clock, Context, Effect, Exit, Fiber, FiberMap, Layer, Option, Schedule } from "effect"
import type { OutboxRestored, OutboxUnavailable } from "../domain/InvoiceError.ts"
import { MessagePublisher } from "../ports/MessagePublisher.ts"
import { Outbox } from "../ports/Outbox.ts"
import { OutboxSignal } from "../ports/OutboxSignal.ts"
import * as OutboxDeadline from "./OutboxDeadline.ts"
import * as RelayLease from "./RelayLease.ts"
import * as RelayMetrics from "./RelayMetrics.ts"
import * as RelaySession from "./RelaySession.ts"

export interface Options {
  /** Which lanes to relay; default all that the outbox has. */
  readonly lanes?: ReadonlyArray<number>
  /** The owner of its leases, which distinguishes this relay from its standbys; default a random UUID. */
  readonly owner?: string
  /** Most events sent at once, 1 to 10,000, default 1,000. */
  readonly pageSize?: number
  /** How long a silent relay keeps its lane, in milliseconds; default 10,000. */
  readonly leaseMillis?: number
  /** Longest wait before an idle relay reads again, in milliseconds; default 50. After events the first wait is 5. */
  readonly idleMillis?: number
  /** Longest wait between two tries while outbox or broker is unavailable, in milliseconds; default 1,000. */
  readonly retryMillis?: number
}

/** How often a standby asks for its lane. */
const standbyMillis = 500
/** How often a relay asks again for a lane that it must not relay, because the outbox was restored. */
const restoredMillis = 5_000
/** How often a relay asks which lanes there are. */
const refreshMillis = 5_000

export class RelayOutbox extends Context.Service<
  RelayOutbox,
  {
    /** Relays until interrupted; then finishes the pages that are being sent, commits and gives the lanes back. */
    readonly run: Effect.Effect<never>
    /** Fails with what keeps it from relaying, if anything does. A relay that stands by is ready. */
    readonly ready: Effect.Effect<void, OutboxUnavailable | OutboxRestored>
  }
>()("@invoice/core/RelayOutbox") {
  static readonly layer = (options: Options = {}): Layer.Layer<RelayOutbox, never, Outbox | MessagePublisher> =>
    Layer.effect(RelayOutbox, make(options))
}

declare const crypto: { readonly randomUUID: () => string }

/** What the lanes of one relay share. */
interface Relay {
  readonly outbox: Outbox["Service"]
  readonly owner: string
  readonly ttlMillis: number
  readonly retryMillis: number
  readonly session: RelaySession.Options
  /** What keeps a lane from being relayed, by lane; the key `undefined` stands for the list of lanes itself. */
  readonly troubles: Map<number | undefined, OutboxUnavailable | OutboxRestored>
}

const make = Effect.fnUntraced(function* (options: Options) {
  const outbox = OutboxDeadline.make(yield* Outbox)
  const retryMillis = options.retryMillis ?? 1_000
  const relay: Relay = {
    outbox,
    owner: options.owner ?? crypto.randomUUID(),
    ttlMillis: options.leaseMillis ?? 10_000,
    retryMillis,
    session: {
      outbox,
      publisher: yield* MessagePublisher,
      signal: yield* OutboxSignal,
      limit: options.pageSize ?? 1_000,
      idleMillis: Math.max(RelaySession.busyMillis, options.idleMillis ?? 50),
      backOff: Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced(`${retryMillis} millis`)]).pipe(
        Schedule.jittered
      )
    },
    troubles: new Map()
  }
  const lanes: Effect.Effect<ReadonlyArray<number>, OutboxUnavailable> = options.lanes === undefined
    ? Effect.map(outbox.status, (status) => status.lanes.map(({ lane }) => lane))
    : Effect.succeed(options.lanes)
  return RelayOutbox.of({
    run: runLanes(relay, lanes),
    ready: Effect.suspend(() => {
      const [trouble] = relay.troubles.values()
      return trouble === undefined ? Effect.void : Effect.fail(trouble)
    })
  })
})

/** The number of lanes changes only while all of them are empty, so it is enough to ask for it now and then. */
const runLanes = (relay: Relay, lanes: Effect.Effect<ReadonlyArray<number>, OutboxUnavailable>): Effect.Effect<never> =>
  Effect.gen(function* () {
    const running = yield* FiberMap.make<number, never>()
    yield* Effect.addFinalizer(() => stopAll(running))
    yield* Effect.forkScoped(RelayMetrics.sample(relay.outbox))
    while (true) {
      const wanted = yield* Effect.exit(lanes)
      if (Exit.isSuccess(wanted)) {
        yield* startAndStop(running, relay, wanted.value)
        relay.troubles.delete(undefined)
      } else {
        const trouble = Option.getOrUndefined(Cause.findErrorOption(wanted.cause))
        if (trouble !== undefined) relay.troubles.set(undefined, trouble)
      }
      yield* Effect.sleep(`${Exit.isSuccess(wanted) ? refreshMillis : failureMillis(relay)} millis`)
    }
  }).pipe(Effect.scoped)

/** Starts the lanes that don't run yet, and stops those that no longer exist. */
const startAndStop = Effect.fnUntraced(function* (
  running: FiberMap.FiberMap<number, never>,
  relay: Relay,
  wanted: ReadonlyArray<number>
) {
  for (const lane of wanted) {
    yield* FiberMap.run(running, lane, runLane(relay, lane), { onlyIfMissing: true })
  }
  for (const [lane] of running) {
    if (!wanted.includes(lane)) {
      yield* FiberMap.remove(running, lane)
      relay.troubles.delete(lane)
    }
  }
})

/** Stops all lanes at once, so that a stop takes only as long as the slowest of them. */
const stopAll = (running: FiberMap.FiberMap<number, never>): Effect.Effect<void> =>
  Effect.suspend(() => Fiber.interruptAll(Array.from(running, ([, fiber]) => fiber)))

/** Relays one lane, or stands by for it, for ever. After any failure a new lease begins at the committed position. */
const runLane = (relay: Relay, lane: number): Effect.Effect<never> =>
  attempt(relay, lane).pipe(
    Effect.catchTags({
      LeaseLost: (error) => Effect.as(Effect.logWarning(error.message), failureMillis(relay)),
      OutboxUnavailable: (error) => {
        relay.troubles.set(lane, error)
        return Effect.logWarning(error.message).pipe(
          Effect.annotateLogs({ lane, error: error.cause }),
          Effect.as(failureMillis(relay))
        )
      },
      OutboxRestored: (error) => {
        relay.troubles.set(lane, error)
        return Effect.as(Effect.logError(error.message), restoredMillis)
      }
    }),
    Effect.flatMap((millis) => Effect.sleep(`${millis} millis`)),
    Effect.forever,
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.logError("a lane's relay died", cause).pipe(Effect.annotateLogs({ lane }))
    )
  )

/**
 * Relays under one lease until that ends. Without a lease it answers how many milliseconds to wait before asking again.
 */
const attempt = Effect.fnUntraced(function* ({ outbox, owner, session, troubles, ttlMillis }: Relay, lane: number) {
  const askedAt = yield* Clock.currentTimeNanos
  const lease = yield* outbox.acquire({ lane, owner, ttlMillis })
  troubles.delete(lane)
  if (Option.isNone(lease)) {
    return Math.min(standbyMillis, Math.ceil(ttlMillis / 4))
  }
  const { epoch } = lease.value
  yield* Effect.logInfo("lane leased").pipe(Effect.annotateLogs({ lane, epoch }))
  yield* RelayMetrics.leased(lane, epoch)
  return yield* RelaySession.run(session, RelayLease.make(outbox, lease.value, ttlMillis, askedAt))
})

/** The wait after a failure of the outbox, in milliseconds. */
const failureMillis = ({ retryMillis }: Relay): number => Math.min(200, retryMillis)
