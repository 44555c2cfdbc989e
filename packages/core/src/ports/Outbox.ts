/**
 * The port to the events that were committed with their invoices and wait to be published.
 *
 * The promise is the adapter's to keep: every committed event is read, once for each position, in commit order of its
 * key; nothing that was rolled back is ever read. At most one relay holds a lane; each lease raises the lane's epoch, and
 * whatever is written under an older epoch, by another owner or after a release is refused with `LeaseLost` (fencing). A
 * lease is durable before `acquire` answers.
 *
 * Positions are opaque strings owned by the adapter, so that the port can travel over RPC. One that was committed is good
 * for ever; one of a session is good while the session is: a server that was restarted or replaced since may refuse it with
 * `OutboxUnavailable` or `LeaseLost`, and the relay begins again at what is committed.
 *
 * The end of a lease is the outbox's to judge. Its holder compares no clocks: it counts `ttlMillis` by its own monotonic clock
 * from before it asked, and sends nothing after that. Other times (`since`, `at`, the lag) are by the outbox's clock.
 *
 * A `limit` is the caller's to keep within its range: there an adapter serves it; elsewhere it may clamp or fail, and nothing
 * is promised. Adapters prove themselves with `OutboxContract` of `@invoice/testing`.
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
  /** Where the lane's last relay had committed. */
  readonly position: string
}

export interface OutboxPage {
  readonly events: ReadonlyArray<OutboxEvent>
  /** Commit this once all of `events` is published; read on from it. */
  readonly next: string
  /** Whether more was waiting when the page was read, so that there is no point in sleeping. */
  readonly more: boolean
}

/** A key whose events are held back since the broker refused one of them for good. */
export interface ParkedKey {
  readonly key: string
  /** How many are held back. */
  readonly events: number
  /** Why the first of them was parked, whatever was parked behind it; after a replay that was refused again, why that was. */
  readonly reason: string
  /** When the first of them was parked. */
  readonly since: Timestamp
  /** Whether someone has asked for it to be sent again. */
  readonly replay: boolean
}

export interface Lag {
  /** Committed events that the lane's committed position has not passed; counting stops at `lagLimit`. */
  readonly events: number
  /** Age of the oldest of them in seconds, 0 when there is none. */
  readonly seconds: number
}

/** Where counting what waits stops, so that asking stays cheap however much it is. */
export const lagLimit = 100_000

export interface LaneStatus extends Lag {
  readonly lane: number
  /** Who holds it, while the lease runs. */
  readonly owner: Option.Option<string>
  readonly epoch: string
  /** What is committed. */
  readonly position: string
}

export interface OutboxStatus {
  /** By number, from 0 without gaps. */
  readonly lanes: ReadonlyArray<LaneStatus>
  /**
   * Age of the oldest transaction that is open anywhere in the database system, in seconds; 0 when there is none. It
   * never holds up the relay, but the outbox can't be emptied behind it.
   */
  readonly oldestTransactionSeconds: number
}

export class Outbox extends Context.Service<
  Outbox,
  {
    /**
     * Takes a lane for `ttlMillis` that is free, one's own, or whose lease is over; none while another owner's lease runs, or
     * when there is no such lane. Whoever stands by asks again and again: an adapter may take a lease for over only after it
     * has watched it, unchanged, for as long as it was given. Of several who ask at once one gets the lane.
     *
     * Also the owner who holds the lane gets a new lease, with a higher epoch: the one before is lost.
     */
    readonly acquire: (options: {
      readonly lane: number
      readonly owner: string
      readonly ttlMillis: number
    }) => Effect.Effect<Option.Option<Lease>, OutboxUnavailable | OutboxRestored>
    /** Makes the lease end `ttlMillis` from now, also one that is over already while nobody has taken the lane since. */
    readonly renew: (lease: Lease, ttlMillis: number) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /** Gives the lane back: the lease is lost then. Harmless when it is lost already, and never at the expense of another. */
    readonly release: (lease: Lease) => Effect.Effect<void, OutboxUnavailable>
    /**
     * The next events after `position`, at most `limit` (1 to 10,000). An empty page is not an end: ask again from `next`.
     *
     * Reading is not fenced, and hides nothing: events of parked keys are among them, for the relay to hold back.
     */
    readonly read: (options: {
      readonly lease: Lease
      readonly position: string
      readonly limit: number
    }) => Effect.Effect<OutboxPage, OutboxUnavailable>
    /**
     * Remembers that everything before `position` is published (or parked). One before what was committed last is taken as
     * well: what is behind it is read again.
     */
    readonly commit: (lease: Lease, position: string) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /**
     * Holds these events back, at most 10,000, and makes their keys parked. Parking an event that is parked changes nothing but for
     * `endsReplay`: true when the events were replayed and refused again. The request is over then, and `reason` is the new one.
     */
    readonly park: (options: {
      readonly lease: Lease
      readonly events: ReadonlyArray<OutboxEvent>
      readonly reason: string
      readonly endsReplay: boolean
    }) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    /** The parked keys of all lanes. */
    readonly parked: Effect.Effect<ReadonlyArray<ParkedKey>, OutboxUnavailable>
    /** Asks the relay to send a parked key's events again, in order; says how many there are, 0 when it isn't parked. */
    readonly replay: (key: string) => Effect.Effect<number, OutboxUnavailable>
    /**
     * The held-back events of the lane's keys that someone asked to replay, those of a key in order, at most `limit` (1 to
     * 10,000), all as they were parked. Not fenced.
     */
    readonly replayable: (lease: Lease, limit: number) => Effect.Effect<ReadonlyArray<OutboxEvent>, OutboxUnavailable>
    /** These held-back events are published now; a key without any left is no longer parked. Others are passed over. */
    readonly unpark: (
      lease: Lease,
      events: ReadonlyArray<OutboxEvent>
    ) => Effect.Effect<void, LeaseLost | OutboxUnavailable>
    readonly status: Effect.Effect<OutboxStatus, OutboxUnavailable>
  }
>()("@invoice/core/ports/Outbox") {}
