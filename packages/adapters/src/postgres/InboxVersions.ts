/** The last event of each key that a consumer has handled, written in the transaction of its effects. */
import { Data, Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as Arrays from "./Arrays.ts"

/**
 * Locks the rows, since a key may come in two partitions at once after partitions were added; always in the order of
 * the keys, so that two transactions don't deadlock.
 */
const selectVersions = `
select key, version::text as version from inbox_version
where consumer = $1 and topic = $2 and key = any($3::text[]) order by key for update`

const risenVersions = `select $1, $2, t.key, t.version from unnest($3::text[], $4::int8[]) as t (key, version) order by t.key`

/** Inserts keys that have no row; answers the keys that no other transaction has inserted meanwhile. */
const insertVersions = `
insert into inbox_version (consumer, topic, key, version) ${risenVersions} on conflict do nothing returning key`

/** Updates keys whose rows are locked. It is an upsert, which never scans, whatever the planner knows of the table. */
const updateVersions = `
insert into inbox_version (consumer, topic, key, version) ${risenVersions}
on conflict (consumer, topic, key) do update set version = excluded.version`

/** A batch of another partition has inserted one of the keys first. This transaction is rolled back: try it again. */
export class Overtaken extends Data.TaggedError("Overtaken") {}

export interface InboxVersions {
  /** The version of the last handled event of each key; none for a key that is new. Locks the keys' rows. */
  readonly known: (
    topic: string,
    keys: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyMap<string, number>, SqlError.SqlError>
  /** @param known what {@link known} answered for these keys */
  readonly remember: (
    topic: string,
    known: ReadonlyMap<string, number>,
    risen: ReadonlyMap<string, number>
  ) => Effect.Effect<void, SqlError.SqlError | Overtaken>
}

export const make = (sql: SqlClient.SqlClient, consumer: string): InboxVersions => {
  const write = (statement: string, topic: string, versions: ReadonlyArray<readonly [key: string, version: number]>) =>
    versions.length === 0
      ? Effect.succeed([])
      : sql.unsafe(statement, [
          consumer,
          topic,
          Arrays.texts(versions.map(([key]) => key)),
          Arrays.bigints(versions.map(([, version]) => BigInt(version)))
        ])
  return {
    known: (topic, keys) =>
      Effect.map(
        sql.unsafe<{ readonly key: string; readonly version: string }>(selectVersions, [
          consumer,
          topic,
          Arrays.texts(keys)
        ]),
        (rows) => new Map(rows.map(({ key, version }) => [key, Number(version)]))
      ),
    remember: Effect.fnUntraced(function* (topic, known, risen) {
      const first = [...risen].filter(([key]) => !known.has(key))
      const further = [...risen].filter(([key]) => known.has(key))
      if ((yield* write(insertVersions, topic, first)).length < first.length) {
        return yield* new Overtaken()
      }
      yield* write(updateVersions, topic, further)
    })
  }
}
