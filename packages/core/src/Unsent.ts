/** What a refusal has left unsent, by the meaning of `PublishRefused`. */
import type { PublishRefused } from "./InvoiceError.ts"
import type { Message } from "./InvoiceEvent.ts"

/**
 * The indexes of the refused messages, and of those of the same topic and key behind them. Messages without a key are
 * taken for messages of one key: sending one twice is better than not at all.
 */
export const indexes = (messages: ReadonlyArray<Message>, { records }: PublishRefused): ReadonlySet<number> => {
  const refused = new Set(records.map(({ index }) => index))
  const places = new Set<string>()
  const unsent = new Set<number>()
  for (const [index, { key, topic }] of messages.entries()) {
    const place = JSON.stringify([topic, key ?? null])
    if (refused.has(index)) {
      places.add(place)
    }
    if (places.has(place)) {
      unsent.add(index)
    }
  }
  return unsent
}
