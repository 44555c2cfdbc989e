/** How events are read, and how far they are published. */
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import { lagLimit, type Outbox } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Option } from "effect"
import { fenced, type OutboxLane } from "./OutboxLane.ts"

type Port = Outbox["Service"]

export const make = (only: OutboxLane, events: ReadonlyArray<OutboxEvent>): Pick<Port, "read" | "commit"> => ({
  read: ({ limit, position }) =>
    Effect.sync(() => {
      const from = Number(position)
      const page = events.slice(from, from + limit)
      return { events: page, next: String(from + page.length), more: page.length === limit }
    }),
  commit: (lease, position) =>
    fenced(only, lease, () => {
      only.position = Number(position)
    })
})

/** How far publishing is behind. */
export const status = (only: OutboxLane, events: ReadonlyArray<OutboxEvent>): Port["status"] =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const oldest = events[only.position]
    return {
      lanes: [
        {
          lane: 0,
          owner: only.until > now ? Option.fromUndefinedOr(only.owner) : Option.none(),
          epoch: String(only.epoch),
          position: String(only.position),
          events: Math.min(events.length - only.position, lagLimit),
          seconds: oldest === undefined ? 0 : Math.max(0, (now - Date.parse(oldest.at)) / 1000)
        }
      ],
      oldestTransactionSeconds: 0
    }
  })
