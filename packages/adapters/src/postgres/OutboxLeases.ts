/** Who may relay a lane: leases are columns of `outbox_cursor`. */
import { OutboxRestored } from "@invoice/core"
import type { Lease, Outbox } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Option } from "effect"
import * as OutboxPosition from "./OutboxPosition.ts"
import { isHolder, type OutboxQuery } from "./OutboxQuery.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

type Port = Outbox["Service"]

interface Acquired {
  readonly expected: string
  readonly found: string
  readonly server: string
  /** Whether this system has reached the position's transaction ids; null when there is no such lane. */
  readonly known: boolean | null
  /** Null when the lane was not free. */
  readonly epoch: string | null
  readonly lo: string | null
  readonly hi: string | null
  readonly pos: string | null
  /** The lease that was found, as epoch and end; null when nobody holds the lane. */
  readonly held: string | null
  /** The length of that lease. */
  readonly lease_millis: number | null
}

const leaseOf = "(c.epoch || ' ' || c.lease_until)"

/**
 * Takes the lane, unless the transaction ids of its position belong to another system. A lane is free when it has no
 * owner, when the caller owns it, or when its lease is still the one that the caller has watched for the lease's whole
 * length. The database's clock decides only about a lease without a length, since a clock can be set: if it were set
 * forward, two relays would hold the lane; if it were set back, no relay could take it.
 *
 * Parameters: 1 lane, 2 owner, 3 milliseconds, 4 the lease that was watched, or null.
 */
const acquireLane = `
with state as (
  select system_identifier as expected, (select system_identifier from pg_control_system()) as found from outbox_state
), cursor as (
  select lane, pg_snapshot_xmax(coalesce(hi, lo)) <= pg_snapshot_xmax(pg_current_snapshot()) as known,
    ${leaseOf} as held, lease_millis
  from outbox_cursor c where lane = $1
), taken as (
  update outbox_cursor c set epoch = epoch + 1, owner = $2, lease_millis = $3::int,
    lease_until = clock_timestamp() + $3::int * interval '1 ms'
  from state, cursor
  where c.lane = $1
    and (c.owner is null or c.owner = $2 or ${leaseOf} = $4::text
      -- given by a version that did not say for how long
      or (c.lease_millis is null and c.lease_until < clock_timestamp()))
    and state.expected = state.found and cursor.known
  returning c.epoch::text as epoch, c.lo::text as lo, c.hi::text as hi, c.pos::text as pos
)
select state.expected::text as expected, state.found::text as found, ${SnapshotWindow.serverStart} as server,
  cursor.known, cursor.held, cursor.lease_millis, taken.*
from state left join cursor on true left join taken on true`

const renewLane = `
update outbox_cursor set lease_until = clock_timestamp() + $4::int * interval '1 ms', lease_millis = $4::int
where ${isHolder} returning lane`

const releaseLane = `
update outbox_cursor set owner = null, lease_until = null, lease_millis = null where ${isHolder} returning lane`

export const statements = { acquireLane, renewLane, releaseLane } as const

/** A lane's lease, and since when (by this process' monotonic clock) it has been seen unchanged. */
interface Watched {
  readonly held: string
  readonly since: bigint
}

export const make = ({ fenced, run }: OutboxQuery): Pick<Port, "acquire" | "renew" | "release"> => {
  const watched = new Map<number, Watched>()

  /** The lease that was found, once this process has seen it unchanged for the lease's whole length. */
  const expired = (lane: number, { held, lease_millis }: Acquired): Effect.Effect<string | undefined> =>
    Effect.map(Clock.currentTimeNanos, (now) => {
      const before = watched.get(lane)
      if (held === null || lease_millis === null) watched.delete(lane)
      else if (before?.held !== held) watched.set(lane, { held, since: now })
      else if (now - before.since >= BigInt(lease_millis) * 1_000_000n) return held
      return undefined
    })

  const acquire = (options: Parameters<Port["acquire"]>[0], seen: string | null = null): ReturnType<Port["acquire"]> =>
    Effect.gen(function* () {
      const { lane, owner, ttlMillis } = options
      const [row] = yield* run<Acquired>(acquireLane, [lane, owner, ttlMillis, seen])
      if (row === undefined) return Option.none()
      const { epoch, expected, found, hi, known, lo, pos, server } = row
      if (expected !== found || known === false) return yield* new OutboxRestored({ expected, found })
      if (epoch !== null && lo !== null) {
        watched.delete(lane)
        const position = OutboxPosition.format(SnapshotWindow.format(lo, hi, pos), server)
        return Option.some<Lease>({ lane, owner, epoch, position })
      }
      const old = seen === null ? yield* expired(lane, row) : undefined
      return old === undefined ? Option.none() : yield* acquire(options, old)
    })

  return {
    acquire: (options) => acquire(options),
    renew: (lease, ttlMillis) => fenced(lease, renewLane, [ttlMillis]),
    release: (lease) => Effect.asVoid(run(releaseLane, [lease.lane, lease.epoch, lease.owner]))
  }
}
