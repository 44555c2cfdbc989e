/**
 * `Outbox` on Postgres: leases and positions are rows of `outbox_cursor`, events are read by `SnapshotWindow`.
 *
 * A position that a session holds also names the run of the server that it was read in: `<position>@<server start>`. After a
 * restart or a failover it is refused, so that what was read from one server is never told to another.
 */
import { LeaseLost, Outbox, OutboxRestored, OutboxUnavailable, Timestamp } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import { type Lease, lagLimit, type ParkedKey } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Layer, Option } from "effect"
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
  readonly server: string
  /** Whether the transactions of the position have been; null when there is no such lane. */
  readonly known: boolean | null
  /** Null when the lane was not free. */
  readonly epoch: string | null
  readonly lo: string | null
  readonly hi: string | null
  readonly pos: string | null
  /** The lease as it was found, and for how long it was given; null when nobody ever held the lane. */
  readonly held: string | null
  readonly lease_millis: number | null
}

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

/** The columns of `EventRow`, of `outbox_event e` or `outbox_parked e`. */
const columns = `e.id, e.topic, e.key, e.ver, e.type, e.payload, e.headers ->> 'traceparent' as traceparent, e.at`

const leaseOf = "(c.epoch || ' ' || c.lease_until)"

/**
 * The lane, unless the transaction ids that its position is made of are another system's. Free are a lane without an owner,
 * one's own, and one whose lease is still the one that the caller has watched for as long as it was given. The database's
 * clock has no say in it, since a clock can be set: forward, and two would hold the lane; back, and nobody could have it.
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

const isHolder = "lane = $1 and epoch = $2::text::bigint and owner = $3"

const renewLane = `
update outbox_cursor set lease_until = clock_timestamp() + $4::int * interval '1 ms', lease_millis = $4::int
where ${isHolder} returning lane`

const releaseLane = `
update outbox_cursor set owner = null, lease_until = null, lease_millis = null where ${isHolder} returning lane`

/**
 * The one write that need not wait for the disk: a position that a crash loses is read again, and Postgres never keeps a
 * later write while it loses an earlier one.
 */
const commitPosition = `
update outbox_cursor set lo = $4::text::pg_snapshot, hi = $5::text::pg_snapshot, pos = $6::text::bigint
from (select set_config('synchronous_commit', 'off', true)) lazily
where ${isHolder} and ($7::text is null or $7::text = ${SnapshotWindow.serverStart}) returning lane`

/** Every write of a relay locks its lane's row and goes through only under the lane's epoch, for its owner. */
const fence = `fence as (select lane from outbox_cursor where ${isHolder} for update)`

const parkEvents = `
with ${fence}, keys as (
  insert into outbox_parked_key (key, reason)
  select distinct on (t.key) t.key, $4 from unnest($8::text[]) as t (key), fence
  on conflict (key) do update set
    replay = outbox_parked_key.replay and not $5::boolean,
    reason = case when $5::boolean then excluded.reason else outbox_parked_key.reason end
  returning key
), parked as (
  insert into outbox_parked (id, lane, topic, key, ver, type, payload, headers, at)
  select t.id, $1, t.topic, t.key, t.ver, t.type, t.payload,
    case when t.traceparent is null then '{}'::jsonb else jsonb_build_object('traceparent', t.traceparent) end, t.at::timestamptz
  from unnest($6::uuid[], $7::text[], $8::text[], $9::int8[], $10::text[], $11::bytea[], $12::text[], $13::text[])
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
with ${fence}, deleted as (delete from outbox_parked e using fence where e.id = any ($4::uuid[]))
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

/** By name, so that they can be run by something else than Postgres. */
export const statements = {
  acquireLane,
  renewLane,
  releaseLane,
  commitPosition,
  readTail: SnapshotWindow.tail(columns, "e.lane = $3"),
  readRest: SnapshotWindow.rest(columns, "e.lane = $5"),
  parkEvents,
  selectParked,
  requestReplay,
  selectReplayable,
  deleteParked,
  deleteEmptyKeys,
  selectLanes,
  selectOldestTransaction
} as const

const toRecorded = (row: EventRow): OutboxEvent => ({
  id: row.id,
  topic: row.topic,
  key: row.key,
  type: row.type,
  version: Number(row.ver),
  payload: row.payload,
  at: Timestamp.fromMillis(row.at.getTime()),
  ...(row.traceparent === null ? {} : { traceparent: row.traceparent })
})

const place = (position: string, server: string): string => `${position}@${server}`

/** The server's run is null in a position that was written before positions named it. */
const parsePlace = (text: string): { readonly position: SnapshotWindow.Position; readonly server: string | null } => {
  const [position = "", server = null] = text.split("@")
  return { position: SnapshotWindow.parse(position), server }
}

/** Who holds a lane, and since when (by this process' monotonic clock) nothing about that has changed. */
interface Watched {
  readonly held: string
  readonly since: bigint
}

/**
 * @param runs runs statements within a deadline
 * @param readMillis the deadline for reading
 */
export const make = (runs: Client.Run, readMillis: number): Port => {
  const watched = new Map<number, Watched>()

  const run = <Row extends object>(
    statement: string,
    parameters: ReadonlyArray<unknown>,
    millis?: number
  ): Effect.Effect<ReadonlyArray<Row>, OutboxUnavailable> =>
    Effect.mapError(runs<Row>(statement, parameters, millis), (cause) => new OutboxUnavailable({ cause }))

  /** Runs a statement that answers nothing when the lane is no longer held under the lease. */
  const fenced = (
    lease: Lease,
    statement: string,
    parameters: ReadonlyArray<unknown>
  ): Effect.Effect<void, LeaseLost | OutboxUnavailable> =>
    Effect.flatMap(run(statement, [lease.lane, lease.epoch, lease.owner, ...parameters]), (rows) =>
      rows.length === 0 ? Effect.fail(new LeaseLost({ lane: lease.lane })) : Effect.void
    )

  /** The lease that was found when the lane was last asked for, once it has been the same for as long as it was given. */
  const outlived = (lane: number, { held, lease_millis }: Acquired): Effect.Effect<string | undefined> =>
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
      const [row] = yield* run<Acquired>(statements.acquireLane, [lane, owner, ttlMillis, seen])
      if (row === undefined) return Option.none()
      const { epoch, expected, found, hi, known, lo, pos, server } = row
      if (expected !== found || known === false) return yield* new OutboxRestored({ expected, found })
      if (epoch !== null && lo !== null) {
        watched.delete(lane)
        const position = place(SnapshotWindow.format(lo, hi, pos), server)
        return Option.some<Lease>({ lane, owner, epoch, position })
      }
      const old = seen === null ? yield* outlived(lane, row) : undefined
      return old === undefined ? Option.none() : yield* acquire(options, old)
    })

  const read: Port["read"] = ({ lease, limit, position: text }) => {
    const { position, server } = parsePlace(text)
    const { lo, window } = position
    const all =
      window === undefined
        ? run<Row>(statements.readTail, [lo, limit, lease.lane], readMillis)
        : run<Row>(statements.readRest, [lo, limit, window.hi, BigInt(window.pos), lease.lane], readMillis)
    return Effect.flatMap(all, (rows) => {
      const [first] = rows
      const doubt =
        server !== null && first !== undefined && first.server !== server
          ? "Postgres was restarted or replaced since the position was read"
          : SnapshotWindow.doubt(position, first)
      if (doubt !== undefined || first === undefined) {
        return Effect.fail(new OutboxUnavailable({ cause: new Error(doubt) }))
      }
      const { more, next, rows: found } = SnapshotWindow.page(position, limit, rows)
      return Effect.succeed({ events: found.map(toRecorded), next: place(next, first.server), more })
    })
  }

  const commit: Port["commit"] = (lease, text) => {
    const { position, server } = parsePlace(text)
    const { lo, window } = position
    return fenced(lease, statements.commitPosition, [lo, window?.hi ?? null, window?.pos ?? null, server])
  }

  const park: Port["park"] = ({ endsReplay, events, lease, reason }) =>
    fenced(lease, statements.parkEvents, [
      reason,
      endsReplay,
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
    run<{ key: string; reason: string; since: Date; replay: boolean; events: number }>(statements.selectParked, []),
    (rows): ReadonlyArray<ParkedKey> =>
      rows.map((row) => ({ ...row, since: Timestamp.fromMillis(row.since.getTime()) }))
  )

  const unpark: Port["unpark"] = Effect.fnUntraced(function* (lease, events) {
    if (events.length === 0) {
      return
    }
    yield* fenced(lease, statements.deleteParked, [Client.uuids(events.map(({ id }) => id))])
    yield* run(statements.deleteEmptyKeys, [Client.texts([...new Set(events.map(({ key }) => key))])])
  })

  return Outbox.of({
    acquire: (options) => acquire(options),
    renew: (lease, ttlMillis) => fenced(lease, statements.renewLane, [ttlMillis]),
    release: (lease) => Effect.asVoid(run(statements.releaseLane, [lease.lane, lease.epoch, lease.owner])),
    read,
    commit,
    park,
    parked,
    replay: (key) => Effect.map(run<{ events: number }>(statements.requestReplay, [key]), ([row]) => row?.events ?? 0),
    replayable: (lease, limit) =>
      Effect.map(run<EventRow>(statements.selectReplayable, [lease.lane, limit]), (rows) => rows.map(toRecorded)),
    unpark,
    status: Effect.zipWith(
      run<LaneRow>(statements.selectLanes, [lagLimit], readMillis),
      run<{ seconds: number }>(statements.selectOldestTransaction, []),
      (lanes, [oldest]) => ({
        lanes: lanes.map(({ hi, lo, owner, pos, server, ...lane }) => ({
          ...lane,
          owner: Option.fromNullOr(owner),
          position: place(SnapshotWindow.format(lo, hi, pos), server)
        })),
        oldestTransactionSeconds: oldest?.seconds ?? 0
      })
    )
  })
}

/** The outbox on connections of its own, so that a relay never waits behind requests. */
export const layer = (options: Client.Options): Layer.Layer<Outbox, SqlError.SqlError> =>
  Layer.effect(
    Outbox,
    Effect.map(SqlClient.SqlClient, (sql) =>
      make(Client.run(sql, Client.timeoutMillisOf(options)), Client.readMillisOf(options))
    )
  ).pipe(
    Layer.provide(
      Client.layer({ ...options, maxConnections: 2 }, "invoice-relay", "deadlines", {
        plan_cache_mode: "force_custom_plan"
      })
    )
  )
