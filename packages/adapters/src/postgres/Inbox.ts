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
import { Effect, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"
import * as InboxOffsets from "./InboxOffsets.ts"
import * as InboxVersions from "./InboxVersions.ts"
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
export const ensure: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = AdvisoryLocks.holding(
  AdvisoryLocks.inbox,
  migration
)

/**
 * How often a partition is sent back before what lies between is taken for gone. A single time proves nothing: the
 * partition may have been away and come back meanwhile, at what the group had committed before.
 */
const rewindsBeforeGap = 3

/** The batch begins above what is to be handled next. */
interface Behind {
  readonly expected: string
}

type Effects<E, R> = (messages: ReadonlyArray<Incoming>) => Effect.Effect<unknown, E, R>

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Inbox, never, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const { consumer, eventOf = invoiceEvent } = options
  const offsets = InboxOffsets.make(sql, consumer)
  const unseen = makeUnseen(InboxVersions.make(sql, consumer), eventOf)
  const sendBack = makeSendBack(consumer)

  const transact = <E, R>(
    batch: MessageBatch,
    effects: Effects<E, R>
  ): Effect.Effect<Handled | Behind, E | SqlError.SqlError, R> => {
    const once = sql.withTransaction(
      Effect.gen(function* () {
        const expected = yield* offsets.expected(batch)
        if (BigInt(batch.from) > BigInt(expected)) return { expected }
        const incoming = yield* unseen(batch.topic, from(batch, BigInt(expected)))
        if (incoming.length > 0) yield* effects(incoming)
        if (BigInt(batch.next) > BigInt(expected)) yield* offsets.advance(batch, batch.next)
        return { handled: incoming.length, repeated: batch.messages.length - incoming.length }
      })
    )
    return Effect.catch(once, (error) =>
      error instanceof InboxVersions.Overtaken ? transact(batch, effects) : Effect.fail(error)
    )
  }

  return {
    handle: (batch, effects) =>
      Effect.flatMap(transact(batch, effects), (outcome) =>
        "expected" in outcome ? sendBack(batch, outcome.expected) : Effect.as(batch.acknowledge, outcome)
      ),
    accept: (gap) => offsets.skip(gap, gap.expected, gap.found)
  }
})

type Offered = Omit<Incoming, "previous">

/** What a batch has from an offset on. */
const from = ({ messages, offsets }: MessageBatch, first: bigint): ReadonlyArray<Offered> =>
  messages.flatMap((message, index) => {
    const offset = offsets[index]
    return offset === undefined || BigInt(offset) < first ? [] : [{ message, offset }]
  })

/** Leaves out events that were published before, and remembers the others. */
const makeUnseen = (versions: InboxVersions.InboxVersions, eventOf: NonNullable<Options["eventOf"]>) =>
  Effect.fnUntraced(function* (topic: string, messages: ReadonlyArray<Offered>) {
    const events = messages.map((one) => ({ ...one, event: eventOf(one.message) }))
    const keys = [...new Set(events.flatMap(({ event }) => event?.key ?? []))]
    if (keys.length === 0) {
      return messages.map((one): Incoming => ({ ...one, previous: 0 }))
    }
    const known = yield* versions.known(topic, keys)
    const risen = new Map<string, number>()
    const incoming = events.flatMap(({ event, message, offset }): ReadonlyArray<Incoming> => {
      if (event === undefined) return [{ message, offset, previous: 0 }]
      const previous = risen.get(event.key) ?? known.get(event.key) ?? 0
      if (event.version <= previous) return []
      risen.set(event.key, event.version)
      return [{ message, offset, previous }]
    })
    yield* versions.remember(topic, known, risen)
    return incoming
  })

/** Makes a partition go back to what is to be handled next; fails once that has been tried often enough. */
const makeSendBack = (consumer: string) => {
  const sentBack = new Map<string, { readonly to: string; readonly times: number }>()
  return Effect.fnUntraced(function* (batch: MessageBatch, expected: string): Effect.fn.Return<Handled, InboxGap> {
    // given back meanwhile: sending it back does nothing, and so proves nothing
    if (!(yield* batch.isHeld)) return nothing
    const { from: found, partition, topic } = batch
    const place = `${topic}/${partition}`
    const before = sentBack.get(place)
    const times = before?.to === expected ? before.times : 0
    if (times === rewindsBeforeGap) {
      sentBack.delete(place)
      return yield* new InboxGap({ consumer, topic, partition, expected, found })
    }
    sentBack.set(place, { to: expected, times: times + 1 })
    yield* Effect.logWarning("the inbox is behind its topic, which goes back").pipe(
      Effect.annotateLogs({ consumer, topic, partition, expected, found })
    )
    yield* batch.rewind(expected)
    return nothing
  })
}

const nothing: Handled = { handled: 0, repeated: 0 }
