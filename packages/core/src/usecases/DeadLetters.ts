/** Lists dead letters, and sends them again once their cause is removed. */
import { Clock, Context, Effect, Layer, Stream } from "effect"
import type { ConsumerUnavailable, PublishRefused, PublishTransient } from "../domain/InvoiceError.ts"
import type { Message } from "../domain/Message.ts"
import * as OutboxEvent from "../domain/OutboxEvent.ts"
import * as Timestamp from "../domain/Timestamp.ts"
import { MessagePublisher } from "../ports/MessagePublisher.ts"
import { TopicReader } from "../ports/TopicReader.ts"
import * as DeadLetter from "./DeadLetter.ts"
import * as Unsent from "./Unsent.ts"

/** Dead letters that are sent again, and recorded in one receipt, at once. */
const pageSize = 100

export interface Replayed {
  readonly sent: number
  /** Dead letters that are not sent, since their value was too large to keep. */
  readonly left: number
  /** Dead letters that the broker refuses for good, and the later ones of their keys: they stay dead letters. */
  readonly refused: number
}

/** A dead letter that has its original message. */
type Sendable = DeadLetter.Entry & { readonly original: Message }

const isSendable = (entry: DeadLetter.Entry): entry is Sendable => entry.original !== undefined

export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** Dead letters of a topic that were not sent again, in order within a partition. */
    readonly list: (topic: string) => Stream.Stream<DeadLetter.Entry, ConsumerUnavailable>
    /**
     * Sends dead letters again, all or those of a key, in order of each key, to the topic they came from, and writes a
     * receipt to `<topic>.dlq`. At least once: a replay that is cut off before its receipt, or that runs beside another
     * replay, leads to duplicates. Fails with `PublishRefused` when the receipt is refused.
     */
    readonly replay: (options: {
      readonly topic: string
      readonly key?: string | undefined
    }) => Effect.Effect<Replayed, ConsumerUnavailable | PublishTransient | PublishRefused>
  }
>()("@invoice/core/DeadLetters") {
  static readonly layer: Layer.Layer<DeadLetters, never, TopicReader | MessagePublisher> = Layer.effect(
    DeadLetters,
    Effect.gen(function* () {
      const { read } = yield* TopicReader
      const { publish } = yield* MessagePublisher
      return DeadLetters.of({ list: (topic) => list(read, topic), replay: (options) => replay(read, publish, options) })
    })
  )
}

type Read = TopicReader["Service"]["read"]
type Publish = MessagePublisher["Service"]["publish"]

/** Reads the topic twice, so that a long topic need not fit into memory. */
const list = (read: Read, topic: string): Stream.Stream<DeadLetter.Entry, ConsumerUnavailable> => {
  const contents = read(DeadLetter.topicOf(topic))
  const receipts = Stream.runFold(
    contents,
    () => new Set<string>(),
    (places, located) => {
      for (const place of DeadLetter.receiptOf(located)) places.add(place)
      return places
    }
  )
  return Stream.unwrap(
    Effect.map(receipts, (sent) =>
      contents.pipe(
        Stream.map(DeadLetter.parse),
        Stream.filter((entry) => entry !== undefined),
        Stream.filter((entry) => !sent.has(DeadLetter.placeOf(entry)))
      )
    )
  )
}

const replay = (
  read: Read,
  publish: Publish,
  { key, topic }: { readonly topic: string; readonly key?: string | undefined }
): Effect.Effect<Replayed, ConsumerUnavailable | PublishTransient | PublishRefused> =>
  Stream.suspend(() => {
    const refusedKeys = new Set<string>()
    return list(read, topic).pipe(
      Stream.filter((entry) => key === undefined || entry.key === key),
      Stream.grouped(pageSize),
      Stream.mapEffect((entries) => replayPage(publish, topic, entries, refusedKeys))
    )
  }).pipe(
    Stream.runFold(
      (): Replayed => ({ sent: 0, left: 0, refused: 0 }),
      (sum, page) => ({
        sent: sum.sent + page.sent,
        left: sum.left + page.left,
        refused: sum.refused + page.refused
      })
    )
  )

const replayPage = Effect.fnUntraced(function* (
  publish: Publish,
  topic: string,
  entries: ReadonlyArray<DeadLetter.Entry>,
  refusedKeys: Set<string>
) {
  const sendable = entries.filter(isSendable)
  const open = sendable.filter(({ key }) => key === undefined || !refusedKeys.has(key))
  const sent = open.length === 0 ? new Set<DeadLetter.Entry>() : yield* sendAgain(publish, topic, open)
  for (const entry of open) {
    if (entry.key !== undefined && !sent.has(entry)) refusedKeys.add(entry.key)
  }
  return { sent: sent.size, left: entries.length - sendable.length, refused: sendable.length - sent.size }
})

/** Sends dead letters of keys of which none is refused so far; answers which of them were sent. */
const sendAgain = Effect.fnUntraced(function* (publish: Publish, topic: string, entries: ReadonlyArray<Sendable>) {
  // an earlier version wrote other values, which would stop a strict consumer
  const originals = entries.map(({ original }) => OutboxEvent.upgrade(original))
  const unsent = yield* publish(originals).pipe(
    Effect.as<ReadonlySet<number>>(new Set()),
    Effect.catchTag("PublishRefused", (refusal) => Effect.succeed(Unsent.indexes(originals, refusal)))
  )
  const sent = entries.filter((_, index) => !unsent.has(index))
  if (sent.length > 0) {
    const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
    yield* publish([DeadLetter.receipt(topic, sent, at)])
  }
  return new Set<DeadLetter.Entry>(sent)
})
