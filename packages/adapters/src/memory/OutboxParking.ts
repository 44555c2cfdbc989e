/** Holds back the events of a key of which the broker has refused one, and replays them. */
import { Timestamp } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { Outbox, ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect } from "effect"
import { fenced, type OutboxLane } from "./OutboxLane.ts"

type Port = Outbox["Service"]

interface Parked {
  readonly since: Timestamp.Timestamp
  replay: boolean
  readonly events: Map<string, OutboxEvent>
  cause: string
}

/** By key. */
type AllParked = Map<string, Parked>

export const make = (only: OutboxLane): Pick<Port, "park" | "parked" | "replay" | "replayable" | "unpark"> => {
  const parked: AllParked = new Map()
  return {
    park: (parking) => fenced(only, parking.lease, (now) => park(parked, parking, now)),
    parked: Effect.sync(() => [...parked].map(toParkedKey)),
    replay: (key) =>
      Effect.sync(() => {
        const found = parked.get(key)
        if (found !== undefined) {
          found.replay = true
        }
        return found?.events.size ?? 0
      }),
    replayable: (_lease, limit) =>
      Effect.sync(() =>
        [...parked.values()]
          .filter(({ replay }) => replay)
          .flatMap(({ events }) => [...events.values()])
          .slice(0, limit)
      ),
    unpark: (lease, delivered) => fenced(only, lease, () => unpark(parked, delivered))
  }
}

const park = (parked: AllParked, { endsReplay, events, reason }: Parameters<Port["park"]>[0], now: number): void => {
  for (const event of events) {
    const key = parked.get(event.key) ?? {
      cause: reason,
      since: Timestamp.fromMillis(Math.floor(now)),
      replay: false,
      events: new Map<string, OutboxEvent>()
    }
    if (endsReplay) {
      key.replay = false
      key.cause = reason
    }
    if (!key.events.has(event.id)) key.events.set(event.id, event)
    parked.set(event.key, key)
  }
}

const toParkedKey = ([key, { cause, events, replay, since }]: readonly [string, Parked]): ParkedKey => ({
  key,
  reason: cause,
  since,
  replay,
  events: events.size
})

const unpark = (parked: AllParked, delivered: ReadonlyArray<OutboxEvent>): void => {
  for (const { id, key } of delivered) {
    const found = parked.get(key)
    found?.events.delete(id)
    if (found?.events.size === 0) {
      parked.delete(key)
    }
  }
}
