/** How far a consumer has come in each partition, written in the transaction of its effects. */
import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

const selectOffset = `
select next_offset::text as next from inbox_offset
where consumer = $1 and topic = $2 and partition = $3::int4 for update`

const insertOffset = `
insert into inbox_offset (consumer, topic, partition, next_offset) values ($1, $2, $3::int4, $4::int8)
on conflict do nothing`

/**
 * Makes the commit of a partition's first row durable. If a crash lost that row after the group had committed an
 * offset, nothing would show that the database is behind. Later commits may be lost: the row then makes the partition
 * go back.
 */
const waitForTheDisk = `
select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'`

const updateOffset = `
update inbox_offset set next_offset = $4::int8 where consumer = $1 and topic = $2 and partition = $3::int4`

const skipTo = `${updateOffset} and next_offset = $5::int8`

/** A partition of a topic. */
type Place = Pick<MessageBatch, "topic" | "partition">

export interface InboxOffsets {
  /** The offset to handle next. Locks the partition's row: two members that both believe they own it take turns. */
  readonly expected: (batch: MessageBatch) => Effect.Effect<string, SqlError.SqlError>
  readonly advance: (place: Place, next: string) => Effect.Effect<void, SqlError.SqlError>
  /** Skips to `next`, if `expected` is still the offset to be handled next. */
  readonly skip: (place: Place, expected: string, next: string) => Effect.Effect<void, SqlError.SqlError>
}

export const make = (sql: SqlClient.SqlClient, consumer: string): InboxOffsets => {
  const rowOf = ({ partition, topic }: Place) => [consumer, topic, partition] as const
  return {
    expected: Effect.fnUntraced(function* (batch) {
      const select = sql.unsafe<{ readonly next: string }>(selectOffset, [...rowOf(batch)])
      const [known] = yield* select
      if (known !== undefined) return known.next
      yield* sql.unsafe(waitForTheDisk)
      yield* sql.unsafe(insertOffset, [...rowOf(batch), BigInt(batch.from)])
      const [made] = yield* select
      return made?.next ?? batch.from
    }),
    advance: (place, next) => Effect.asVoid(sql.unsafe(updateOffset, [...rowOf(place), BigInt(next)])),
    skip: (place, expected, next) =>
      Effect.asVoid(sql.unsafe(skipTo, [...rowOf(place), BigInt(next), BigInt(expected)]))
  }
}
