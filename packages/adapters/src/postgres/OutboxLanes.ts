/** Changes the number of lanes of the outbox. */
import { Lane } from "@invoice/core"
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Arrays from "./Arrays.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

/** Nothing was changed; `reason` says why. */
export class OutboxNotChanged extends Schema.TaggedError<OutboxNotChanged>()("OutboxNotChanged", {
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

export interface ResizeOptions {
  /** The new number of lanes, from 1. */
  readonly lanes: number
  /** Number of partitions of the topics: the lanes must divide it, else two lanes would share a partition. */
  readonly partitions: number
  /** How long to wait at most for the lock, and then for the relays, in milliseconds each; default 10,000. */
  readonly waitMillis?: number
}

const pollMillis = 20

/** Whether a lane's committed position has not passed all its events. The last condition is for one within a window. */
const selectWaiting = `
select exists (
  select from outbox_cursor c join outbox_event e on e.lane = c.lane
  where e.xid >= pg_snapshot_xmin(c.lo) and not pg_visible_in_snapshot(e.xid, c.lo)
    and (c.pos is null or e.seq > c.pos or not pg_visible_in_snapshot(e.xid, c.hi))
) as waiting`

/**
 * Changes the number of lanes. This may move a key to another lane, and a key must not be in two lanes at once. So
 * writers wait (readers don't) until the relays have published everything, and then the number is changed in the same
 * transaction. When that takes too long nothing is changed.
 */
export const resize = ({ lanes, partitions, waitMillis = 10_000 }: ResizeOptions) =>
  Effect.gen(function* () {
    if (!Number.isInteger(lanes) || lanes < 1 || partitions % lanes !== 0) {
      return yield* new OutboxNotChanged({
        reason: `${lanes} lanes don't divide ${partitions} partitions, so two lanes would share one`
      })
    }
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql.unsafe(`set local lock_timeout = ${Math.max(1, Math.ceil(waitMillis))}`)
        // from here on writers of events wait; all earlier writers have committed or rolled back
        yield* sql`lock table outbox_event in share row exclusive mode`
        yield* drained(waitMillis)
        yield* sql`update outbox_state set lanes = ${lanes}`
        const lo = yield* currentPosition
        // everything is published, so every lane begins here; the new epoch ends the old leases
        yield* sql`update outbox_cursor set lo = ${lo}::text::pg_snapshot, hi = null, pos = null, epoch = epoch + 1,
          owner = null, lease_until = null, lease_millis = null`
        yield* sql`insert into outbox_cursor (lane, lo)
          select lane, ${lo}::text::pg_snapshot from generate_series(0, ${lanes - 1}::int) as lane on conflict do nothing`
        yield* sql`delete from outbox_cursor where lane >= ${lanes}`
        const keys = (yield* sql<{ key: string }>`select key from outbox_parked_key`).map(({ key }) => key)
        yield* sql.unsafe(
          `update outbox_parked p set lane = t.lane from unnest($1::text[], $2::int4[]) as t (key, lane) where t.key = p.key`,
          [Arrays.texts(keys), Arrays.integers(keys.map((key) => Lane.of(key, lanes)))]
        )
      })
    )
  })

/**
 * A position after every event that is committed by now. It ends at this transaction, whose commit is flushed, and not
 * at the latest known id: a crash may make Postgres forget that id and assign it again.
 */
const currentPosition = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ own: string; snapshot: string }>`
    select pg_current_xact_id()::text as own, pg_current_snapshot()::text as snapshot`
  return row === undefined ? SnapshotWindow.beginning : SnapshotWindow.before(row.snapshot, BigInt(row.own))
})

const drained = (waitMillis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (let waited = 0; ; waited += pollMillis) {
      const [row] = yield* sql.unsafe<{ waiting: boolean }>(selectWaiting)
      if (row?.waiting !== true) {
        return
      }
      if (waited >= waitMillis) {
        return yield* new OutboxNotChanged({
          reason: `events still wait to be published after ${waitMillis} ms: is a relay running, and the broker there?`
        })
      }
      yield* Effect.sleep(`${pollMillis} millis`)
    }
  })
