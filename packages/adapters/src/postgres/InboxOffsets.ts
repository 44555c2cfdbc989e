/** How far a consumer has come in each partition, in the transaction of its effects. */
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
 * A crash must not lose the row that a partition begins with while the group is ahead already: nothing would tell then
 * that the database is behind. Later batches may be lost, the row makes the topic go back.
 */
const waitForTheDisk = `
select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'`

const updateOffset = `
update inbox_offset set next_offset = $4::int8 where consumer = $1 and topic = $2 and partition = $3::int4`

const skipTo = `${updateOffset} and next_offset = $5::int8`

/** A partition of a topic, as far as a consumer is concerned. */
type Place = Pick<MessageBatch, "topic" | "partition">

export interface InboxOffsets {
  /** The offset to handle next. Locks the partition's row, so that two who both think they have it take turns. */
  readonly expected: (batch: MessageBatch) => Effect.Effect<string, SqlError.SqlError>
  readonly advance: (place: Place, next: string) => Effect.Effect<void, SqlError.SqlError>
  /** Passes over what lies between, if `expected` is still what is to be handled next. */
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
