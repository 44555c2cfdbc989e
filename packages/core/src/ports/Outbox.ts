/**
 * The port to the events that were committed with their invoices and wait to be published.
 *
 * The adapter has to keep this promise: a relay that reads on from a position gets every committed event once, in
 * commit order of its key; it never gets an event that was rolled back. At most one relay holds a lane. Each lease
 * raises the lane's epoch, and a write under an older epoch, by another owner or after a release is refused with
 * `LeaseLost` (fencing). A lease is durable before `acquire` answers.
 *
 * Positions are opaque strings owned by the adapter, so that the port can travel over RPC. A committed position is
 * valid for ever. Any other position is valid during its session: a server that was restarted or replaced since may
 * refuse it with `OutboxUnavailable` or `LeaseLost`, and the relay begins again at the committed position.
 *
 * The outbox decides when a lease ends. Its holder compares no clocks: it counts `ttlMillis` by its own monotonic clock
 * from before it asked, and sends nothing after that. Other times (`since`, `at`, the lag) are by the outbox's clock.
 *
 * The caller has to keep a `limit` within its range, where every adapter serves it. Outside, an adapter may clamp it or
 * fail, and nothing is promised. Adapters prove themselves with `OutboxContract` of `@invoice/testing`.
 */
import { Context, type Effect, type Option } from "effect"
import type { LeaseLost, OutboxRestored, OutboxUnavailable } from "../domain/InvoiceError.ts"
import type { OutboxEvent } from "../domain/OutboxEvent.ts"
import type { Timestamp } from "../domain/Timestamp.ts"

/** The right to relay one lane, until it expires or is taken over. */
export interface Lease {
  readonly lane: number
  readonly owner: string
  /** A decimal text. Rises with every lease of the lane, also when its owner takes the lane again. */
  readonly epoch: string
  /** The position that the lane's last relay committed. */
  readonly position: string
}

export interface OutboxPage {
  readonly events: ReadonlyArray<OutboxEvent>
  /** Commit this position once all of `events` are published; read on from it. */
  readonly next: string
  /** Whether more events were waiting when the page was read: then there is no need to sleep. */
  readonly more: boolean
}

/** A key whose events are held back because the broker refused one of them for good. */
export interface ParkedKey {
  readonly key: string
  /** How many events are held back. */
  readonly events: number
  /** Why the first of them was parked, whatever was parked behind it; after a refused replay, why that was refused. */
  readonly reason: string
  /** When the first of them was parked. */
  readonly since: Timestamp
  /** Whether a replay is requested. */
  readonly replay: boolean
}

export interface Lag {
  /** Committed events that the lane's committed position has not passed; counting stops at `lagLimit`. */
  readonly events: number
  /** Age of the oldest of them in seconds, 0 when there is none. */
  readonly seconds: number
}

/** Where the count of waiting events stops, so that asking for it stays cheap however many wait. */
export const lagLimit = 100_000

export interface LaneStatus extends Lag {
  readonly lane: number
  /** Who holds the lane, while the lease runs. */
  readonly owner: Option.Option<string>
  readonly epoch: string
  /** The committed position. */
  readonly position: string
}

export interface OutboxStatus {
  /** In the order of their numbers, from 0 without gaps. */
  readonly lanes: ReadonlyArray<LaneStatus>
  /**
   * Age of the oldest transaction that is open anywhere in the database system, in seconds; 0 when there is none. It
   * never delays the relay, but newer events can't be removed from the outbox while it is open.
   */
  readonly oldestTransactionSeconds: number
}

export class Outbox extends Context.Service<
  Outbox,
  {
    /**
     * Takes, for `ttlMillis`, a lane that is free, that the owner holds already, or whose lease is over; answers none
     * while another owner's lease runs, or when there is no such lane. A standby has to ask again and again: some
     * adapters treat a lease as over only after they have watched it, unchanged, for its whole duration. If several ask
     * at once, one gets the lane.
     *
     * An owner that holds the lane already gets a new lease, with a higher epoch, and the lease before is lost.
     */
    readonly acquire: (options: {
      readonly lane: number
      readonly owner: string
      readonly ttlMillis: number
    }) => Effect.Effect<Option.Option<Lease>, OutboxUnavailable | OutboxRestored>
    /**
     * Makes the lease end `ttlMillis` from now. A lease that is over can be renewed as long as nobody has taken the
     * lane since.
     */
    readonly renew: (lease: Lease, ttlMillis: number) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /**
     * Gives the lane back, and the lease is lost. A lease that is lost already is ignored: the lane's new holder keeps
     * its lease.
     */
    readonly release: (lease: Lease) => Effect.Effect<void, OutboxUnavailable>
    /**
     * The next events after `position`, at most `limit` (1 to 10,000). An empty page is not an end: ask again from
     * `next`.
     *
     * Reading is not fenced, and hides nothing: events of parked keys are included, and the relay holds them back.
     */
    readonly read: (options: {
      readonly lease: Lease
      readonly position: string
      readonly limit: number
    }) => Effect.Effect<OutboxPage, OutboxUnavailable>
    /**
     * Records that everything before `position` is published (or parked). A position before the last committed one is
     * accepted too: the events behind it are read again.
     */
    readonly commit: (lease: Lease, position: string) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /**
     * Holds these events back, at most 10,000, and makes their keys parked. Parking a parked event again changes
     * nothing, unless `endsReplay` is true, which says that the events were replayed and refused again: the replay
     * request ends, and `reason` replaces the old reason.
     */
    readonly park: (options: {
      readonly lease: Lease
      readonly events: ReadonlyArray<OutboxEvent>
      readonly reason: string
      readonly endsReplay: boolean
    }) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /** The parked keys of all lanes. */
    readonly parked: Effect.Effect<ReadonlyArray<ParkedKey>, OutboxUnavailable>
    /**
     * Asks the relay to send a parked key's events again, in order; answers how many there are, 0 when the key isn't
     * parked.
     */
    readonly replay: (key: string) => Effect.Effect<number, OutboxUnavailable>
    /**
     * The held-back events of the lane's keys for which a replay is requested, at most `limit` (1 to 10,000), the
     * events of a key in order and each as it was parked. Not fenced.
     */
    readonly replayable: (lease: Lease, limit: number) => Effect.Effect<ReadonlyArray<OutboxEvent>, OutboxUnavailable>
    /**
     * Removes held-back events, because they are published now; a key without any left is no longer parked. Events that
     * are not held back are ignored.
     */
    readonly unpark: (
      lease: Lease,
      events: ReadonlyArray<OutboxEvent>
    ) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    readonly status: Effect.Effect<OutboxStatus, OutboxUnavailable>
  }
>()("@invoice/core/ports/Outbox") {}
