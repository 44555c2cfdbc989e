/**
 * `Outbox` on Postgres: reads what was committed by windows between two snapshots, so that nothing is lost or reordered
 * whatever transactions are open meanwhile (the idea is PgQ's).
 *
 * A position is `lo`, the snapshot before which everything is read, and within a window that is larger than a page also
 * `hi|pos`: the window's end and the last `seq` read of it.
 */
import { LeaseLost, Outbox, OutboxUnavailable, Timestamp } from "@invoice/core"
import type { Recorded } from "@invoice/core/InvoiceEvent"
import type { Lag, Lease, OutboxPage, ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect, Layer, Option } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as Client from "./Client.ts"

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

/** The columns of `EventRow`, of `outbox_event e` or `outbox_parked e`. */
const columns = `e.id, e.topic, e.key, e.ver, e.type, e.payload, e.headers ->> 'traceparent' as traceparent, e.at`

/**
 * The first page of a window: what `lo` did not see and this statement does. Two halves, each on the index: those that
 * were in progress at `lo`, and those that began after it. Under READ COMMITTED a statement sees exactly what its
 * `pg_current_snapshot()` sees, so the upper bound needs no condition.
 */
const readTail = `
select s.hi::text as hi, e.* from (select pg_current_snapshot() as hi) s left join lateral (
  select e.seq, ${columns} from (
    select * from outbox_event where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
    union all
    select * from outbox_event where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
  ) e where e.lane = $2 order by e.seq limit $3
) e on true order by e.seq`

/** The next pages of a window: what `lo` did not see and `hi` does, by number. */
const readWindow = `
select e.seq, ${columns} from outbox_event e
where e.seq > $3 and e.lane = $4
  and not pg_visible_in_snapshot(e.xid, $1::text::pg_snapshot) and pg_visible_in_snapshot(e.xid, $2::text::pg_snapshot)
order by e.seq limit $5`

const acquireLane = `
update outbox_cursor set epoch = epoch + 1, owner = $2, lease_until = clock_timestamp() + $3::int * interval '1 ms'
where lane = $1 and (owner is null or owner = $2 or lease_until < clock_timestamp())
returning epoch::text as epoch, lo::text as lo, hi::text as hi, pos::text as pos`

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

const selectLag = `
select count(*)::int as events, coalesce(extract(epoch from clock_timestamp() - min(e.at)), 0)::float8 as seconds
from outbox_cursor c join outbox_event e on e.lane = c.lane
where e.xid >= pg_snapshot_xmin(c.lo) and not pg_visible_in_snapshot(e.xid, c.lo)
  and (c.pos is null or e.seq > c.pos or not pg_visible_in_snapshot(e.xid, c.hi))`

interface Position {
  readonly lo: string
  readonly window: { readonly hi: string; readonly pos: string } | undefined
}

const parsePosition = (position: string): Position => {
  const [lo = "", hi, pos] = position.split("|")
  return { lo, window: hi === undefined || pos === undefined ? undefined : { hi, pos } }
}

const formatPosition = (lo: string, hi: string | null, pos: string | null): string =>
  hi === null || pos === null ? lo : `${lo}|${hi}|${pos}`

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

const make = Effect.gen(function* () {
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
    Effect.map(
      run<{ epoch: string; lo: string; hi: string | null; pos: string | null }>(acquireLane, [lane, owner, ttlMillis]),
      ([row]) =>
        row === undefined
          ? Option.none<Lease>()
          : Option.some({ lane, owner, epoch: row.epoch, position: formatPosition(row.lo, row.hi, row.pos) })
    )

  const tail = (lease: Lease, lo: string, limit: number): Effect.Effect<OutboxPage, OutboxUnavailable> =>
    Effect.map(
      run<{ hi: string; seq: bigint | null } & EventRow>(readTail, [lo, lease.lane, limit]),
      (rows): OutboxPage => {
        const hi = rows[0]?.hi ?? lo
        const events = rows.filter(({ seq }) => seq !== null)
        const more = events.length === limit
        return {
          events: events.map(toRecorded),
          next: more ? formatPosition(lo, hi, String(events.at(-1)?.seq)) : hi,
          more
        }
      }
    )

  const window = (
    lease: Lease,
    lo: string,
    { hi, pos }: { readonly hi: string; readonly pos: string },
    limit: number
  ): Effect.Effect<OutboxPage, OutboxUnavailable> =>
    Effect.map(
      run<{ seq: bigint } & EventRow>(readWindow, [lo, hi, BigInt(pos), lease.lane, limit]),
      (rows): OutboxPage => ({
        events: rows.map(toRecorded),
        next: rows.length === limit ? formatPosition(lo, hi, String(rows.at(-1)?.seq)) : hi,
        more: true
      })
    )

  const read: Port["read"] = ({ lease, limit, position }) => {
    const { lo, window: within } = parsePosition(position)
    return within === undefined ? tail(lease, lo, limit) : window(lease, lo, within, limit)
  }

  const commit: Port["commit"] = (lease, position) => {
    const { lo, window: within } = parsePosition(position)
    return fenced(lease, commitPosition, [lo, within?.hi ?? null, within?.pos ?? null])
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
    lag: Effect.map(run<Lag>(selectLag, []), ([lag]) => lag ?? { events: 0, seconds: 0 })
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
        // Postgres can't estimate what a snapshot sees, so it would fetch and sort all of a backlog for every page of it
        enable_bitmapscan: "off",
        synchronous_commit: "off"
      })
    )
  )
