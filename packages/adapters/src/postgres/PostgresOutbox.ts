/** `Outbox` on Postgres: leases and positions are rows of `outbox_cursor`, events are read by `SnapshotWindow`. */
import { LeaseLost, Outbox, OutboxRestored, OutboxUnavailable, Timestamp } from "@invoice/core"
import type { Recorded } from "@invoice/core/InvoiceEvent"
import { type Lease, lagLimit, type ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect, Layer, Option } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Client from "./Client.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

type Port = Outbox["Service"]

interface EventRow {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly ver: bigint
  readonly type: string
  readonly payload: Uint8Array
  readonly traceparent: string | null
  readonly at: Date
}

type Row = SnapshotWindow.Row & EventRow

interface Acquired {
  readonly expected: string
  readonly found: string
  /** Whether the transactions of the position have been; null when there is no such lane. */
  readonly known: boolean | null
  /** Null when the lane was not free. */
  readonly epoch: string | null
  readonly lo: string | null
  readonly hi: string | null
  readonly pos: string | null
}

interface LaneRow {
  readonly lane: number
  readonly owner: string | null
  readonly epoch: string
  readonly lo: string
  readonly hi: string | null
  readonly pos: string | null
  readonly events: number
  readonly seconds: number
}

/** The columns of `EventRow`, of `outbox_event e` or `outbox_parked e`. */
const columns = `e.id, e.topic, e.key, e.ver, e.type, e.payload, e.headers ->> 'traceparent' as traceparent, e.at`

const readTail = SnapshotWindow.tail(columns, "e.lane = $3")
const readRest = SnapshotWindow.rest(columns, "e.lane = $5")

/** The lane, unless the transaction ids that its position is made of are another system's. */
const acquireLane = `
with state as (
  select system_identifier as expected, (select system_identifier from pg_control_system()) as found from outbox_state
), cursor as (
  select lane, pg_snapshot_xmax(coalesce(hi, lo)) <= pg_snapshot_xmax(pg_current_snapshot()) as known
  from outbox_cursor where lane = $1
), taken as (
  update outbox_cursor c set epoch = epoch + 1, owner = $2, lease_until = clock_timestamp() + $3::int * interval '1 ms'
  from state, cursor
  where c.lane = $1 and (c.owner is null or c.owner = $2 or c.lease_until < clock_timestamp())
    and state.expected = state.found and cursor.known
  returning c.epoch::text as epoch, c.lo::text as lo, c.hi::text as hi, c.pos::text as pos
)
select state.expected::text as expected, state.found::text as found, cursor.known, taken.*
from state left join cursor on true left join taken on true`

const renewLane = `
update outbox_cursor set lease_until = clock_timestamp() + $3::int * interval '1 ms'
where lane = $1 and epoch = $2::text::bigint returning lane`

const releaseLane = `
update outbox_cursor set owner = null, lease_until = null where lane = $1 and epoch = $2::text::bigint`

const commitPosition = `
update outbox_cursor set lo = $3::text::pg_snapshot, hi = $4::text::pg_snapshot, pos = $5::text::bigint
where lane = $1 and epoch = $2::text::bigint returning lane`

/** Every write of a relay locks its lane's row and goes through only under the lane's epoch. */
const fence = `fence as (select lane from outbox_cursor where lane = $1 and epoch = $2::text::bigint for update)`

const parkEvents = `
with ${fence}, keys as (
  insert into outbox_parked_key (key, reason)
  select distinct on (t.key) t.key, $3 from unnest($6::text[]) as t (key), fence
  -- an event that is parked again was refused again: the replay that was asked for is over
  on conflict (key) do update set
    replay = outbox_parked_key.replay and not exists (select from outbox_parked p where p.id = any ($4::uuid[])),
    reason = case when outbox_parked_key.replay then excluded.reason else outbox_parked_key.reason end
  returning key
), parked as (
  insert into outbox_parked (id, lane, topic, key, ver, type, payload, headers, at)
  select t.id, $1, t.topic, t.key, t.ver, t.type, t.payload,
    case when t.traceparent is null then '{}'::jsonb else jsonb_build_object('traceparent', t.traceparent) end, t.at::timestamptz
  from unnest($4::uuid[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::bytea[], $10::text[], $11::text[])
    as t (id, topic, key, ver, type, payload, traceparent, at)
  join keys on keys.key = t.key
  on conflict (id) do nothing
)
select lane from fence`

const selectParked = `
select k.key, k.reason, k.since, k.replay, count(e.id)::int as events
from outbox_parked_key k left join outbox_parked e on e.key = k.key
group by k.key order by k.since, k.key`

const requestReplay = `
with asked as (update outbox_parked_key set replay = true where key = $1 returning key)
select count(*)::int as events from outbox_parked where key in (select key from asked)`

const selectReplayable = `
select ${columns} from outbox_parked e join outbox_parked_key k on k.key = e.key
where k.replay and e.lane = $1 order by e.key, e.ver limit $2`

const deleteParked = `
with ${fence}, deleted as (delete from outbox_parked e using fence where e.id = any ($3::uuid[]))
select lane from fence`

/** A statement of its own: it must see what `deleteParked` has deleted. */
const deleteEmptyKeys = `
delete from outbox_parked_key k where k.key = any ($1::text[])
  and not exists (select from outbox_parked e where e.key = k.key)`

/**
 * The lanes, with what waits in each, counted up to a limit. At the tail by transaction id, within a window by number:
 * the other way round the statement would walk over everything that is delivered.
 */
const selectLanes = `
select c.lane, case when c.lease_until > clock_timestamp() then c.owner end as owner, c.epoch::text as epoch,
  c.lo::text as lo, c.hi::text as hi, c.pos::text as pos, w.events,
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

const toRecorded = (row: EventRow): Recorded => ({
  id: row.id,
  topic: row.topic,
  key: row.key,
  type: row.type,
  version: Number(row.ver),
  payload: row.payload,
  at: Timestamp.fromMillis(row.at.getTime()),
  ...(row.traceparent === null ? {} : { traceparent: row.traceparent })
})

/** By name, so that they can be run by something else than Postgres. */
export const statements = {
  readTail,
  readRest,
  acquireLane,
  renewLane,
  releaseLane,
  commitPosition,
  parkEvents,
  selectParked,
  requestReplay,
  selectReplayable,
  deleteParked,
  deleteEmptyKeys,
  selectLanes,
  selectOldestTransaction
} as const

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const run = <Row extends object>(
    statement: string,
    parameters: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<Row>, OutboxUnavailable> =>
    Effect.mapError(sql.unsafe<Row>(statement, parameters), (cause) => new OutboxUnavailable({ cause }))

  /** Runs a statement that answers nothing when the lane has another epoch. */
  const fenced = (
    lease: Lease,
    statement: string,
    parameters: ReadonlyArray<unknown>
  ): Effect.Effect<void, LeaseLost | OutboxUnavailable> =>
    Effect.flatMap(run(statement, [lease.lane, lease.epoch, ...parameters]), (rows) =>
      rows.length === 0 ? Effect.fail(new LeaseLost({ lane: lease.lane })) : Effect.void
    )

  const acquire: Port["acquire"] = ({ lane, owner, ttlMillis }) =>
    Effect.flatMap(
      run<Acquired>(acquireLane, [lane, owner, ttlMillis]),
      ([row]): Effect.Effect<Option.Option<Lease>, OutboxRestored> => {
        if (row === undefined) {
          return Effect.succeed(Option.none())
        }
        if (row.expected !== row.found || row.known === false) {
          return Effect.fail(new OutboxRestored({ expected: row.expected, found: row.found }))
        }
        const { epoch, hi, lo, pos } = row
        return Effect.succeed(
          epoch === null || lo === null
            ? Option.none()
            : Option.some({ lane, owner, epoch, position: SnapshotWindow.format(lo, hi, pos) })
        )
      }
    )

  const read: Port["read"] = ({ lease, limit, position: text }) => {
    const position = SnapshotWindow.parse(text)
    const { lo, window } = position
    return Effect.map(
      window === undefined
        ? run<Row>(readTail, [lo, limit, lease.lane])
        : run<Row>(readRest, [lo, limit, window.hi, BigInt(window.pos), lease.lane]),
      (all) => {
        const { more, next, rows } = SnapshotWindow.page(position, limit, all)
        return { events: rows.map(toRecorded), next, more }
      }
    )
  }

  const commit: Port["commit"] = (lease, position) => {
    const { lo, window } = SnapshotWindow.parse(position)
    return fenced(lease, commitPosition, [lo, window?.hi ?? null, window?.pos ?? null])
  }

  const park: Port["park"] = ({ events, lease, reason }) =>
    fenced(lease, parkEvents, [
      reason,
      Client.uuids(events.map(({ id }) => id)),
      Client.texts(events.map(({ topic }) => topic)),
      Client.texts(events.map(({ key }) => key)),
      Client.bigints(events.map(({ version }) => BigInt(version))),
      Client.texts(events.map(({ type }) => type)),
      Client.byteas(events.map(({ payload }) => payload)),
      Client.texts(events.map(({ traceparent }) => traceparent ?? null)),
      Client.texts(events.map(({ at }) => at))
    ])

  const parked: Port["parked"] = Effect.map(
    run<{ key: string; reason: string; since: Date; replay: boolean; events: number }>(selectParked, []),
    (rows): ReadonlyArray<ParkedKey> =>
      rows.map((row) => ({ ...row, since: Timestamp.fromMillis(row.since.getTime()) }))
  )

  const unpark: Port["unpark"] = Effect.fnUntraced(function* (lease, events) {
    if (events.length === 0) {
      return
    }
    yield* fenced(lease, deleteParked, [Client.uuids(events.map(({ id }) => id))])
    yield* run(deleteEmptyKeys, [Client.texts([...new Set(events.map(({ key }) => key))])])
  })

  return Outbox.of({
    acquire,
    renew: (lease, ttlMillis) => fenced(lease, renewLane, [ttlMillis]),
    release: (lease) => Effect.asVoid(run(releaseLane, [lease.lane, lease.epoch])),
    read,
    commit,
    park,
    parked,
    replay: (key) => Effect.map(run<{ events: number }>(requestReplay, [key]), ([row]) => row?.events ?? 0),
    replayable: (lease, limit) =>
      Effect.map(run<EventRow>(selectReplayable, [lease.lane, limit]), (rows) => rows.map(toRecorded)),
    unpark,
    status: Effect.zipWith(
      run<LaneRow>(selectLanes, [lagLimit]),
      run<{ seconds: number }>(selectOldestTransaction, []),
      (lanes, [oldest]) => ({
        lanes: lanes.map(({ epoch, events, hi, lane, lo, owner, pos, seconds }) => ({
          lane,
          owner: Option.fromNullOr(owner),
          epoch,
          position: SnapshotWindow.format(lo, hi, pos),
          events: Math.min(events, lagLimit),
          seconds
        })),
        oldestTransactionSeconds: oldest?.seconds ?? 0
      })
    )
  })
})

/**
 * The outbox on connections of its own, so that a relay never waits behind requests.
 *
 * Their commits don't wait for the disk: a position or a parked event that a crash loses is read again, and Postgres
 * never keeps a later write of a connection while it loses an earlier one.
 */
export const layer = (options: Client.Options): Layer.Layer<Outbox, SqlError.SqlError> =>
  Layer.effect(Outbox, make).pipe(
    Layer.provide(
      Client.layer({ ...options, maxConnections: 2 }, "invoice-relay", {
        plan_cache_mode: "force_custom_plan",
        synchronous_commit: "off"
      })
    )
  )
