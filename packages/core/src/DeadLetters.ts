/** What became a dead letter, and sending it again once the cause is gone. */
import { Clock, Context, Effect, Layer, Stream } from "effect"
import * as DeadLetter from "./DeadLetter.ts"
import type { ConsumerUnavailable, PublishRefused, PublishTransient } from "./InvoiceError.ts"
import * as InvoiceEvent from "./InvoiceEvent.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"
import { TopicReader } from "./ports/TopicReader.ts"
import * as Timestamp from "./Timestamp.ts"
import * as Unsent from "./Unsent.ts"

/** Letters that are sent again, and noted, at once. */
const pageSize = 100

export interface Replayed {
  readonly sent: number
  /** Letters without a value to send: it was too large to keep. */
  readonly left: number
  /** Letters that the broker refuses for good, and those of their keys behind them: they are still dead letters. */
  readonly refused: number
}

/** A letter that has its message. */
type Sendable = DeadLetter.Letter & { readonly original: InvoiceEvent.Message }

const isSendable = (letter: DeadLetter.Letter): letter is Sendable => letter.original !== undefined

export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** Letters of a topic that were not sent again, in order within a partition. */
    readonly list: (topic: string) => Stream.Stream<DeadLetter.Letter, ConsumerUnavailable>
    /**
     * Sends letters again, all or those of a key, in order of each key, to the topic they came from, and notes on
     * `<topic>.dlq` that they were. At least once: whoever is cut off between the two, or runs beside another, sends
     * again what was not noted. Fails with a refusal when the note itself is refused.
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
      const reader = yield* TopicReader
      const publisher = yield* MessagePublisher

      // read twice, so that a long topic need not fit into memory
      const list = (topic: string): Stream.Stream<DeadLetter.Letter, ConsumerUnavailable> => {
        const contents = reader.read(DeadLetter.topicOf(topic))
        const receipts = Stream.runFold(
          contents,
          () => new Set<string>(),
          (places, located) => {
            for (const place of DeadLetter.receiptOf(located)) {
              places.add(place)
            }
            return places
          }
        )
        return Stream.unwrap(
          Effect.map(receipts, (sent) =>
            contents.pipe(
              Stream.map(DeadLetter.parse),
              Stream.filter((letter) => letter !== undefined),
              Stream.filter((letter) => !sent.has(DeadLetter.placeOf(letter)))
            )
          )
        )
      }

      /** Letters that have an original, of keys that none is refused of; answers which of them were sent. */
      const sendAgain = Effect.fnUntraced(function* (topic: string, letters: ReadonlyArray<Sendable>) {
        // a letter from before the values changed must not stop a strict consumer
        const originals = letters.map(({ original }) => InvoiceEvent.upgrade(original))
        const unsent = yield* publisher.publish(originals).pipe(
          Effect.as<ReadonlySet<number>>(new Set()),
          Effect.catchTag("PublishRefused", (refusal) => Effect.succeed(Unsent.indexes(originals, refusal)))
        )
        const sent = letters.filter((_, index) => !unsent.has(index))
        if (sent.length > 0) {
          const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
          yield* publisher.publish([DeadLetter.receipt(topic, sent, at)])
        }
        return new Set<DeadLetter.Letter>(sent)
      })

      const replayPage = Effect.fnUntraced(function* (
        topic: string,
        letters: ReadonlyArray<DeadLetter.Letter>,
        refusedKeys: Set<string>
      ) {
        const sendable = letters.filter(isSendable)
        const open = sendable.filter(({ key }) => key === undefined || !refusedKeys.has(key))
        const sent = open.length === 0 ? new Set<DeadLetter.Letter>() : yield* sendAgain(topic, open)
        for (const letter of open) {
          if (letter.key !== undefined && !sent.has(letter)) {
            refusedKeys.add(letter.key)
          }
        }
        return { sent: sent.size, left: letters.length - sendable.length, refused: sendable.length - sent.size }
      })

      return DeadLetters.of({
        list,
        replay: ({ key, topic }) =>
          Stream.suspend(() => {
            const refusedKeys = new Set<string>()
            return list(topic).pipe(
              Stream.filter((letter) => key === undefined || letter.key === key),
              Stream.grouped(pageSize),
              Stream.mapEffect((letters) => replayPage(topic, letters, refusedKeys))
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
      })
    })
  )
}
