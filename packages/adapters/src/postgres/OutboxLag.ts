/** What waits in each lane, and who holds it. */
import { lagLimit, type Outbox } from "@invoice/core/ports/Outbox"
import { Effect, Option } from "effect"
import * as OutboxPosition from "./OutboxPosition.ts"
import type { OutboxQuery } from "./OutboxQuery.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

interface LaneRow {
  readonly lane: number
  readonly owner: string | null
  readonly epoch: string
  readonly lo: string
  readonly hi: string | null
  readonly pos: string | null
  readonly server: string
  readonly events: number
  readonly seconds: number
}

/**
 * The lanes, with the waiting events of each, counted up to a limit. At the tail they are counted by transaction id,
 * within a window by `seq` (and by transaction id where a lower `seq` lies after the window's end): the other way round
 * the statement would walk over all delivered events.
 */
const selectLanes = `
select c.lane, case when c.lease_until > clock_timestamp() then c.owner end as owner, c.epoch::text as epoch,
  c.lo::text as lo, c.hi::text as hi, c.pos::text as pos, ${SnapshotWindow.serverStart} as server, w.events,
  greatest(0, coalesce(extract(epoch from clock_timestamp() - w.oldest), 0))::float8 as seconds
from outbox_cursor c cross join lateral (
  select count(*)::int as events, min(at) as oldest from (
    (select e.at from outbox_event e
      where c.pos is null and e.lane = c.lane and e.xid >= pg_snapshot_xmin(c.lo) and not pg_visible_in_snapshot(e.xid, c.lo)
      order by e.xid limit $1)
    union all
    (select e.at from outbox_event e
      where c.pos is not null and e.lane = c.lane and e.seq > c.pos and not pg_visible_in_snapshot(e.xid, c.lo)
      order by e.seq limit $1)
    union all
    (select e.at from outbox_event e
      where c.pos is not null and e.lane = c.lane and e.seq <= c.pos and e.xid >= pg_snapshot_xmin(c.hi)
        and not pg_visible_in_snapshot(e.xid, c.hi)
      order by e.xid limit $1)
  ) e
) w order by c.lane`

const selectOldestTransaction = `
select greatest(0, coalesce(extract(epoch from clock_timestamp() - min(xact_start)), 0))::float8 as seconds
from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`

export const statements = { selectLanes, selectOldestTransaction } as const

/** @param readMillis the deadline for counting, in milliseconds */
export const status = ({ run }: OutboxQuery, readMillis: number): Outbox["Service"]["status"] =>
  Effect.zipWith(
    run<LaneRow>(selectLanes, [lagLimit], readMillis),
    run<{ seconds: number }>(selectOldestTransaction, []),
    (lanes, [oldest]) => ({
      lanes: lanes.map(({ hi, lo, owner, pos, server, ...lane }) => ({
        ...lane,
        owner: Option.fromNullOr(owner),
        position: OutboxPosition.format(SnapshotWindow.format(lo, hi, pos), server)
      })),
      oldestTransactionSeconds: oldest?.seconds ?? 0
    })
  )
