/**
 * Effects exactly once, for an application's own consumer: what a batch does to the database and how far the consumer
 * has come are written in one transaction. Delivered again, a batch changes nothing.
 *
 * Two things come twice. A message at the same offset, after a crash or a rebalance: the offset in the database tells.
 * And an event at two offsets, when the relay sent it again: its version tells, which counts the events of a key.
 * Versions tell only while the events of a key come in order: add no partitions to a topic before its consumers have
 * handled all of it.
 *
 * ```ts
 * const inbox = yield* Inbox.make({ consumer: "running-total" })
 * yield* consumer.subscribe({ topic, group: "running-total" }).pipe(
 *   Stream.mapEffect((batch) => inbox.handle(batch, (events) => write(events)), { concurrency: "unbounded" }),
 *   Stream.runDrain
 * )
 * ```
 *
 * The effects must go through the `SqlClient` that the inbox was made with; nothing else is rolled back with them.
 */
import { fromMessage } from "@invoice/core/InvoiceEvent"
import type { Message } from "@invoice/core/Message"
import type { MessageBatch } from "@invoice/core/ports/MessageConsumer"
import { Data, Effect, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"
import * as Client from "./Client.ts"
import { migration } from "./migrations/0002_inbox.ts"

/** What the topic still holds begins above what the consumer has to handle next: messages are gone for good. */
export class InboxGap extends Schema.TaggedError<InboxGap>()("InboxGap", {
  consumer: Schema.String,
  topic: Schema.String,
  partition: Schema.Int,
  /** The offset that was to be handled next. */
  expected: Schema.String,
  /** Where the topic begins now. */
  found: Schema.String
}) {
  override get message(): string {
    return `${this.consumer} never saw ${this.topic}/${this.partition} from ${this.expected} to ${this.found}, and it is gone`
  }
}

/** An event by its place among those of its key. */
export interface Versioned {
  readonly key: string
  /** From 1. */
  readonly version: number
}

/** A message that has not been handled before. */
export interface Incoming {
  readonly message: Message
  readonly offset: string
  /**
   * The version of the last event of its key that was handled from this topic, 0 when there was none. The event is the
   * next one when its own version is one more; a topic with only some events of a key has gaps by nature.
   */
  readonly previous: number
}

export interface Options {
  /**
   * Names the one who keeps track: as a rule the consumer group. It belongs to one database and one topic of each name:
   * another database, another cluster or a topic that was deleted and made again needs another name.
   */
  readonly consumer: string
  /**
   * Recognises an event that was published twice; default {@link invoiceEvent}. None for a message that is not known
   * again by what it says: it is handled at every offset at which it comes.
   */
  readonly eventOf?: (message: Message) => Versioned | undefined
}

/** How many messages of a batch there were: new ones, and those handled before. */
export interface Handled {
  readonly handled: number
  readonly repeated: number
}

export interface Inbox {
  /**
   * Runs the effects with what is new of the batch, in a transaction with the offset, then acknowledges. Effects are not
   * run when nothing is new. When they or the database fail, nothing has happened: call it again, or leave it to
   * whoever gets the batch next. The transaction's isolation is the database's default, for the effects' sake: above
   * read committed, expect serialization failures, which can be tried again. Call it outside of any other transaction:
   * a batch must not be acknowledged before what it did is committed.
   *
   * A database that is behind the topic (restored, say) makes the topic go back; the batch comes again later then.
   */
  readonly handle: <E, R>(
    batch: MessageBatch,
    effects: (messages: ReadonlyArray<Incoming>) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<Handled, E | SqlError.SqlError | InboxGap, R>
  /** Goes on after a gap: what is gone is given up. To be called by a person's decision only. */
  readonly accept: (gap: InboxGap) => Effect.Effect<void, SqlError.SqlError>
}

/** The events of this pipeline, by their CloudEvents headers; whatever else a topic has is no event to it. */
export const invoiceEvent = (message: Message): Versioned | undefined => {
  const event = fromMessage(message)
  return event?.version === undefined ? undefined : { key: event.id, version: event.version }
}

/** Makes the tables where they are missing: for a database without this project's migrations. */
export const ensure: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql.withTransaction(Effect.andThen(sql`select pg_advisory_xact_lock(${AdvisoryLocks.inbox})`, migration))
)

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

const acceptGap = `${updateOffset} and next_offset = $5::int8`

/**
 * Locked, since a key may come in two partitions at once, after partitions were added; in one order, so that the two
 * don't deadlock.
 */
const selectVersions = `
select key, version::text as version from inbox_version
where consumer = $1 and topic = $2 and key = any($3::text[]) order by key for update`

const risenVersions = `select $1, $2, t.key, t.version from unnest($3::text[], $4::int8[]) as t (key, version) order by t.key`

/** Of keys that have no row; answers those that nobody else has made meanwhile. */
const insertVersions = `
insert into inbox_version (consumer, topic, key, version) ${risenVersions} on conflict do nothing returning key`

/** Of keys whose row is locked. An upsert never scans, whatever the planner knows of the table. */
const updateVersions = `
insert into inbox_version (consumer, topic, key, version) ${risenVersions}
on conflict (consumer, topic, key) do update set version = excluded.version`

/**
 * How often a partition is sent back before what lies between is taken for gone. A single time proves nothing: the
 * partition may have been away and come back meanwhile, at what the group had committed before.
 */
const patience = 3

/** A batch of another partition has a key of this one too, and was first. Only rolls back: `handle` tries again. */
class Overtaken extends Data.TaggedError("Overtaken") {}

interface Gap {
  readonly expected: string
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Inbox, never, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const { consumer, eventOf = invoiceEvent } = options
  /** Where a partition was sent back to, and how often. */
  const sentBack = new Map<string, { readonly to: string; readonly times: number }>()

  const partitionOf = ({ partition, topic }: MessageBatch) => [consumer, topic, partition] as const

  /** Locks the partition's row, so that two who both think they have the partition take turns. */
  const expectedOf = Effect.fnUntraced(function* (batch: MessageBatch) {
    const select = sql.unsafe<{ readonly next: string }>(selectOffset, [...partitionOf(batch)])
    const [known] = yield* select
    if (known !== undefined) {
      return known.next
    }
    yield* sql.unsafe(waitForTheDisk)
    yield* sql.unsafe(insertOffset, [...partitionOf(batch), BigInt(batch.from)])
    const [made] = yield* select
    return made?.next ?? batch.from
  })

  const remember = Effect.fnUntraced(function* (
    topic: string,
    known: ReadonlyMap<string, number>,
    risen: ReadonlyMap<string, number>
  ) {
    const write = (statement: string, versions: ReadonlyArray<readonly [key: string, version: number]>) =>
      versions.length === 0
        ? Effect.succeed([])
        : sql.unsafe(statement, [
            consumer,
            topic,
            Client.texts(versions.map(([key]) => key)),
            Client.bigints(versions.map(([, version]) => BigInt(version)))
          ])
    const first = [...risen].filter(([key]) => !known.has(key))
    const further = [...risen].filter(([key]) => known.has(key))
    if ((yield* write(insertVersions, first)).length < first.length) {
      return yield* new Overtaken()
    }
    yield* write(updateVersions, further)
  })

  /** Leaves out events that were published before, and remembers the others. */
  const unseen = Effect.fnUntraced(function* (
    topic: string,
    messages: ReadonlyArray<{ readonly message: Message; readonly offset: string }>
  ) {
    const events = messages.map((one) => ({ ...one, event: eventOf(one.message) }))
    const keys = [...new Set(events.flatMap(({ event }) => event?.key ?? []))]
    if (keys.length === 0) {
      return messages.map((one): Incoming => ({ ...one, previous: 0 }))
    }
    const rows = yield* sql.unsafe<{ readonly key: string; readonly version: string }>(selectVersions, [
      consumer,
      topic,
      Client.texts(keys)
    ])
    const known = new Map(rows.map(({ key, version }) => [key, Number(version)]))
    const risen = new Map<string, number>()
    const incoming = events.flatMap(({ event, message, offset }): ReadonlyArray<Incoming> => {
      if (event === undefined) {
        return [{ message, offset, previous: 0 }]
      }
      const previous = risen.get(event.key) ?? known.get(event.key) ?? 0
      if (event.version <= previous) {
        return []
      }
      risen.set(event.key, event.version)
      return [{ message, offset, previous }]
    })
    yield* remember(topic, known, risen)
    return incoming
  })

  const transact = <E, R>(
    batch: MessageBatch,
    effects: (messages: ReadonlyArray<Incoming>) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<Handled | Gap, E | SqlError.SqlError, R> => {
    const once = sql.withTransaction(
      Effect.gen(function* () {
        const expected = yield* expectedOf(batch)
        const from = BigInt(expected)
        if (BigInt(batch.from) > from) {
          return { expected }
        }
        const fresh = batch.messages.flatMap((message, index) => {
          const offset = batch.offsets[index]
          return offset === undefined || BigInt(offset) < from ? [] : [{ message, offset }]
        })
        const incoming = yield* unseen(batch.topic, fresh)
        if (incoming.length > 0) {
          yield* effects(incoming)
        }
        if (BigInt(batch.next) > from) {
          yield* sql.unsafe(updateOffset, [...partitionOf(batch), BigInt(batch.next)])
        }
        return { handled: incoming.length, repeated: batch.messages.length - incoming.length }
      })
    )
    return Effect.catch(once, (error) => (error instanceof Overtaken ? transact(batch, effects) : Effect.fail(error)))
  }

  const handle: Inbox["handle"] = (batch, effects) =>
    Effect.flatMap(transact(batch, effects), (outcome) =>
      Effect.gen(function* () {
        if (!("expected" in outcome)) {
          yield* batch.acknowledge
          return outcome
        }
        if (!(yield* batch.isHeld)) {
          // given back meanwhile: sending it back does nothing, and so proves nothing
          return { handled: 0, repeated: 0 }
        }
        const { expected } = outcome
        const { from: found, partition, topic } = batch
        const place = `${topic}/${partition}`
        const before = sentBack.get(place)
        const times = before?.to === expected ? before.times : 0
        if (times === patience) {
          sentBack.delete(place)
          return yield* new InboxGap({ consumer, topic, partition, expected, found })
        }
        sentBack.set(place, { to: expected, times: times + 1 })
        yield* Effect.logWarning("the inbox is behind its topic, which goes back").pipe(
          Effect.annotateLogs({ consumer, topic, partition, expected, found })
        )
        yield* batch.rewind(expected)
        return { handled: 0, repeated: 0 }
      })
    )

  return {
    handle,
    accept: ({ expected, found, partition, topic }) =>
      Effect.asVoid(sql.unsafe(acceptGap, [consumer, topic, partition, BigInt(found), BigInt(expected)]))
  }
})
