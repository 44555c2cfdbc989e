/** What became a dead letter, and sending it again once the cause is gone. */
import { Clock, Context, Effect, Layer, Stream } from "effect"
import * as DeadLetter from "./DeadLetter.ts"
import type { ConsumerUnavailable, PublishRefused, PublishTransient } from "./InvoiceError.ts"
import * as InvoiceEvent from "./InvoiceEvent.ts"
import { MessagePublisher } from "./ports/MessagePublisher.ts"
import { TopicReader } from "./ports/TopicReader.ts"
import * as Timestamp from "./Timestamp.ts"

/** Letters that are sent again, and noted, at once. */
const pageSize = 100

export interface Replayed {
  readonly sent: number
  /** Letters without a value to send: it was too large to keep. */
  readonly left: number
}

export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** Letters of a topic that were not sent again, in order within a partition. */
    readonly list: (topic: string) => Stream.Stream<DeadLetter.Letter, ConsumerUnavailable>
    /**
     * Sends letters again, all or those of a key, in order of each key, to the topic they came from, and notes on
     * `<topic>.dlq` that they were. At least once: whoever is cut off between the two, or runs beside another, sends
     * again what was not noted.
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

      const sendAgain = Effect.fnUntraced(function* (topic: string, letters: ReadonlyArray<DeadLetter.Letter>) {
        const originals = letters.flatMap(({ original }) => original ?? [])
        if (originals.length === 0) {
          return
        }
        // a letter from before the values changed must not stop a strict consumer
        yield* publisher.publish(originals.map(InvoiceEvent.upgrade))
        const at = Timestamp.fromMillis(Math.floor(yield* Clock.currentTimeMillis))
        yield* publisher.publish([
          DeadLetter.receipt(
            topic,
            letters.filter(({ original }) => original !== undefined),
            at
          )
        ])
      })

      return DeadLetters.of({
        list,
        replay: ({ key, topic }) =>
          list(topic).pipe(
            Stream.filter((letter) => key === undefined || letter.key === key),
            Stream.grouped(pageSize),
            Stream.tap((letters) => sendAgain(topic, letters)),
            Stream.flatMap(Stream.fromIterable),
            Stream.runFold(
              (): Replayed => ({ sent: 0, left: 0 }),
              ({ left, sent }, { original }) =>
                original === undefined ? { sent, left: left + 1 } : { sent: sent + 1, left }
            )
          )
      })
    })
  )
}
