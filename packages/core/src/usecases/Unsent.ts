/** What a refusal leaves unsent, as `PublishRefused` defines it. */
import type { PublishRefused } from "../domain/InvoiceError.ts"

/** The indexes of the refused messages or events and of the later ones of the same topic and key, rising. */
export const indexes = (
  messages: ReadonlyArray<{ readonly topic: string; readonly key: string | undefined }>,
  { records }: PublishRefused
): ReadonlySet<number> => {
  const refused = new Set(records.map(({ index }) => index))
  const places = new Set<string>()
  const unsent = new Set<number>()
  for (const [index, { key, topic }] of messages.entries()) {
    const place = key === undefined ? undefined : JSON.stringify([topic, key])
    if (refused.has(index) || (place !== undefined && places.has(place))) {
      unsent.add(index)
      if (place !== undefined) {
        places.add(place)
      }
    }
  }
  return unsent
}
