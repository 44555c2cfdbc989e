/** Holds back the events of a key of which the broker has refused one, and replays them. */
import { Timestamp } from "@invoice/core"
import type { Outbox, ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect } from "effect"
import * as Arrays from "./Arrays.ts"
import { columns, type EventRow, toEvent } from "./OutboxEvents.ts"
import { fence, type OutboxQuery } from "./OutboxQuery.ts"

type Port = Outbox["Service"]

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

export const statements = {
  parkEvents,
  selectParked,
  requestReplay,
  selectReplayable,
  deleteParked,
  deleteEmptyKeys
} as const

interface ParkedRow {
  readonly key: string
  readonly reason: string
  readonly since: Date
  readonly replay: boolean
  readonly events: number
}

const toParkedKey = (row: ParkedRow): ParkedKey => ({ ...row, since: Timestamp.fromMillis(row.since.getTime()) })

export const make = ({
  fenced,
  run
}: OutboxQuery): Pick<Port, "park" | "parked" | "replay" | "replayable" | "unpark"> => ({
  park: ({ endsReplay, events, lease, reason }) =>
    fenced(lease, parkEvents, [
      reason,
      endsReplay,
      Arrays.uuids(events.map(({ id }) => id)),
      Arrays.texts(events.map(({ topic }) => topic)),
      Arrays.texts(events.map(({ key }) => key)),
      Arrays.bigints(events.map(({ version }) => BigInt(version))),
      Arrays.texts(events.map(({ type }) => type)),
      Arrays.byteas(events.map(({ payload }) => payload)),
      Arrays.texts(events.map(({ traceparent }) => traceparent ?? null)),
      Arrays.texts(events.map(({ at }) => at))
    ]),
  parked: Effect.map(run<ParkedRow>(selectParked, []), (rows) => rows.map(toParkedKey)),
  replay: (key) => Effect.map(run<{ events: number }>(requestReplay, [key]), ([row]) => row?.events ?? 0),
  replayable: (lease, limit) =>
    Effect.map(run<EventRow>(selectReplayable, [lease.lane, limit]), (rows) => rows.map(toEvent)),
  unpark: Effect.fnUntraced(function* (lease, events) {
    if (events.length === 0) return
    yield* fenced(lease, deleteParked, [Arrays.uuids(events.map(({ id }) => id))])
    yield* run(deleteEmptyKeys, [Arrays.texts([...new Set(events.map(({ key }) => key))])])
  })
})
