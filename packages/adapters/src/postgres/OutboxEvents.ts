/** Events as rows, how they are read, and how far they are published. */
import { OutboxUnavailable, Timestamp } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { Outbox } from "@invoice/core/ports/Outbox"
import { Effect } from "effect"
import * as OutboxPosition from "./OutboxPosition.ts"
import { isHolder, type OutboxQuery } from "./OutboxQuery.ts"
import * as SnapshotWindow from "./SnapshotWindow.ts"

type Port = Outbox["Service"]

export interface EventRow {
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

/** The columns of `EventRow`, selected from `outbox_event e` or `outbox_parked e`. */
export const columns = `e.id, e.topic, e.key, e.ver, e.type, e.payload, e.headers ->> 'traceparent' as traceparent, e.at`

/**
 * The only write that need not wait for the disk: when a crash loses a position, its events are read again, and
 * Postgres never keeps a later write while it loses an earlier one.
 */
const commitPosition = `
update outbox_cursor set lo = $4::text::pg_snapshot, hi = $5::text::pg_snapshot, pos = $6::text::bigint
from (select set_config('synchronous_commit', 'off', true)) lazily
where ${isHolder} and ($7::text is null or $7::text = ${SnapshotWindow.serverStart}) returning lane`

export const statements = {
  commitPosition,
  readTail: SnapshotWindow.tail(columns, "e.lane = $3"),
  readRest: SnapshotWindow.rest(columns, "e.lane = $5")
} as const

export const toEvent = (row: EventRow): OutboxEvent => ({
  id: row.id,
  topic: row.topic,
  key: row.key,
  type: row.type,
  version: Number(row.ver),
  payload: row.payload,
  at: Timestamp.fromMillis(row.at.getTime()),
  ...(row.traceparent === null ? {} : { traceparent: row.traceparent })
})

/** @param readMillis the deadline for reading, in milliseconds */
export const make = ({ fenced, run }: OutboxQuery, readMillis: number): Pick<Port, "read" | "commit"> => ({
  read: ({ lease, limit, position: text }) => {
    const { position, server } = OutboxPosition.parse(text)
    const { lo, window } = position
    const all =
      window === undefined
        ? run<Row>(statements.readTail, [lo, limit, lease.lane], readMillis)
        : run<Row>(statements.readRest, [lo, limit, window.hi, BigInt(window.pos), lease.lane], readMillis)
    return Effect.flatMap(all, (rows) => {
      const [first] = rows
      const reason =
        server !== null && first !== undefined && first.server !== server
          ? "Postgres was restarted or replaced since the position was read"
          : SnapshotWindow.unusable(position, first)
      if (reason !== undefined || first === undefined) {
        return Effect.fail(new OutboxUnavailable({ cause: new Error(reason) }))
      }
      const { more, next, rows: found } = SnapshotWindow.page(position, limit, rows)
      return Effect.succeed({ events: found.map(toEvent), next: OutboxPosition.format(next, first.server), more })
    })
  },
  commit: (lease, text) => {
    const { position, server } = OutboxPosition.parse(text)
    const { lo, window } = position
    return fenced(lease, commitPosition, [lo, window?.hi ?? null, window?.pos ?? null, server])
  }
})
