/** The idempotency keys of creates, kept for 24 hours. */
import { IdempotencyKey, IdempotencyKeyReused } from "@invoice/core"
import type { Creation, Idempotency } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"

export interface KeyEntry {
  readonly hash: string
  /** What every request with the key is answered. */
  readonly answer: Creation
  /** When the key was taken, in milliseconds of the Unix epoch. */
  readonly at: number
}

/** By `nameOf`, oldest first. */
export type Keys = Map<string, KeyEntry>

/** Tells keys apart: no principal's name can make the key of one look like that of another. */
const nameOf = ({ key, principal }: Idempotency): string => JSON.stringify([principal, key])

const isOver = ({ at }: KeyEntry, now: number): boolean => at + IdempotencyKey.retentionMillis <= now

/** The answer to a request whose key is taken; undefined when it is not. */
export const find = (
  keys: Keys,
  idempotency: Idempotency,
  now: number
): Effect.Effect<Creation, IdempotencyKeyReused> | undefined => {
  const entry = keys.get(nameOf(idempotency))
  if (entry === undefined || isOver(entry, now)) {
    return undefined
  }
  return entry.hash === idempotency.hash
    ? Effect.succeed(entry.answer)
    : Effect.fail(new IdempotencyKeyReused({ key: idempotency.key }))
}

/** Takes a key for an answer, and forgets two keys that are over, so that their number never grows for ever. */
export const take = (keys: Keys, idempotency: Idempotency, { outcome, stored }: Creation, now: number): void => {
  let forgotten = 0
  for (const [name, entry] of keys) {
    if (forgotten++ === 2 || !isOver(entry, now)) break
    keys.delete(name)
  }
  const name = nameOf(idempotency)
  // deleted first, so that the map stays in the order of time
  keys.delete(name)
  keys.set(name, {
    hash: idempotency.hash,
    answer: { outcome: outcome === "Created" ? "Replayed" : outcome, stored },
    at: now
  })
}
