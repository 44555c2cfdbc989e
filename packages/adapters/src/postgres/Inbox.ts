/**
 * Effects exactly once, for an application's own consumer: one transaction writes what a batch does to the database and
 * how far the consumer has come. A batch that is delivered again changes nothing.
 *
 * There are two kinds of duplicates. After a crash or a rebalance a message comes again at the same offset: the offset
 * in the database shows it. When the relay sends an event again, the event comes at two offsets: its version, which
 * counts the events of its key, shows it. Versions do so only while the events of a key come in order: add no
 * partitions to a topic before its consumers have handled all of it.
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

/** The topic now begins above the offset that the consumer has to handle next: the messages between are lost. */
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

/** Identifies an event: its key, and its version among the events of that key. */
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
   * The version of the last event of its key that was handled from this topic, 0 when there was none. If the event's
   * own version is one more, no event is missing between them; a topic with only some events of a key always has gaps.
   */
  readonly previous: number
}

export interface Options {
  /**
   * The name under which offsets and versions are kept, as a rule the consumer group's. It belongs to one database and
   * one topic of each name: use another name for another database, another cluster, or a topic that was deleted and
   * made again.
   */
  readonly consumer: string
  /**
   * Reads the key and version by which an event that was published twice is recognised; default {@link invoiceEvent}.
   * Undefined for a message that has none: it is handled at every offset at which it comes.
   */
  readonly eventOf?: (message: Message) => Versioned | undefined
}

/** How many messages of a batch were new, and how many had been handled before. */
export interface Handled {
  readonly handled: number
  readonly repeated: number
}

export interface Inbox {
  /**
   * Runs the effects with the new messages of the batch, in one transaction with the offset, then acknowledges the
   * batch. The effects do not run when no message is new. When they or the database fail, nothing has happened: call
   * `handle` again, or leave the batch to the consumer that gets it next. The transaction has the database's default
   * isolation, on which the effects may rely: above read committed, expect serialization failures, which can be tried
   * again. Call `handle` outside of any other transaction: a batch must not be acknowledged before its effects are
   * committed.
   *
   * If the database is behind the topic (for example after a restore), the partition is rewound and the batch comes
   * later.
   */
  readonly handle: <E, R>(
    batch: MessageBatch,
    effects: (messages: ReadonlyArray<Incoming>) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<Handled, E | SqlError.SqlError | InboxGap, R>
  /** Gives up the lost messages and goes on after the gap. Call it only when a person has decided so. */
  readonly accept: (gap: InboxGap) => Effect.Effect<void, SqlError.SqlError>
}

/** Recognises this pipeline's events by their CloudEvents headers; undefined for every other message. */
export const invoiceEvent = (message: Message): Versioned | undefined => {
  const event = fromMessage(message)
  return event?.version === undefined ? undefined : { key: event.id, version: event.version }
}

/** Makes the inbox's tables if they are missing: for a database without this project's migrations. */
export const ensure: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = AdvisoryLocks.holding(
  AdvisoryLocks.inbox,
  migration
)

/**
 * How often a partition is rewound before the messages between are considered lost. A single rewind proves nothing: the
 * partition may have moved to another member and back meanwhile, and begun at the offset that the group had committed.
 */
const rewindsBeforeGap = 3

/** The batch begins above the offset to be handled next. */
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

/** The messages of a batch from an offset on. */
const from = ({ messages, offsets }: MessageBatch, first: bigint): ReadonlyArray<Offered> =>
  messages.flatMap((message, index) => {
    const offset = offsets[index]
    return offset === undefined || BigInt(offset) < first ? [] : [{ message, offset }]
  })

/** Leaves out events that were handled before, and remembers the versions of the others. */
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

/** Rewinds a partition to the offset to be handled next; fails after {@link rewindsBeforeGap} rewinds. */
const makeSendBack = (consumer: string) => {
  const sentBack = new Map<string, { readonly to: string; readonly times: number }>()
  return Effect.fnUntraced(function* (batch: MessageBatch, expected: string): Effect.fn.Return<Handled, InboxGap> {
    // the batch was given back meanwhile, so a rewind would do nothing and prove nothing
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
