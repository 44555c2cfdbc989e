/** `Outbox` in memory, one lane. A position is the number of events before it. */
import { LeaseLost, Outbox, type OutboxEvent, Timestamp } from "@invoice/core"
import { type Lease, lagLimit, type ParkedKey } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Layer, Option } from "effect"
import { State } from "./State.ts"

interface Parked {
  readonly since: Timestamp.Timestamp
  replay: boolean
  readonly events: Map<string, OutboxEvent.OutboxEvent>
  cause: string
}

/** On a state that is provided, to share it with the store. */
export const layer: Layer.Layer<Outbox, never, State> = Layer.effect(
  Outbox,
  Effect.gen(function* () {
    const { events } = yield* State
    const parked = new Map<string, Parked>()
    const cursor = { epoch: 0, position: 0, owner: undefined as string | undefined, until: 0 }

    /** Runs a write of a relay only while it is the lane's owner, under its epoch. */
    const fenced = <A>(lease: Lease, write: (now: number) => A): Effect.Effect<A, LeaseLost> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        lease.epoch === String(cursor.epoch) && lease.owner === cursor.owner
          ? Effect.sync(() => write(now))
          : Effect.fail(new LeaseLost({ lane: lease.lane }))
      )

    return Outbox.of({
      acquire: ({ lane, owner, ttlMillis }) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          if (lane !== 0 || (cursor.owner !== undefined && cursor.owner !== owner && cursor.until > now)) {
            return Option.none<Lease>()
          }
          cursor.epoch += 1
          cursor.owner = owner
          cursor.until = now + ttlMillis
          return Option.some({ lane, owner, epoch: String(cursor.epoch), position: String(cursor.position) })
        }),
      renew: (lease, ttlMillis) =>
        fenced(lease, (now) => {
          cursor.until = now + ttlMillis
        }),
      release: (lease) =>
        Effect.ignore(
          fenced(lease, () => {
            cursor.owner = undefined
          })
        ),
      read: ({ limit, position }) =>
        Effect.sync(() => {
          const from = Number(position)
          const page = events.slice(from, from + limit)
          return { events: page, next: String(from + page.length), more: page.length === limit }
        }),
      commit: (lease, position) =>
        fenced(lease, () => {
          cursor.position = Number(position)
        }),
      park: ({ endsReplay, events, lease, reason }) =>
        fenced(lease, (now) => {
          for (const event of events) {
            const key = parked.get(event.key) ?? {
              cause: reason,
              since: Timestamp.fromMillis(Math.floor(now)),
              replay: false,
              events: new Map<string, OutboxEvent.OutboxEvent>()
            }
            if (endsReplay) {
              key.replay = false
              key.cause = reason
            }
            if (!key.events.has(event.id)) key.events.set(event.id, event)
            parked.set(event.key, key)
          }
        }),
      parked: Effect.sync(() =>
        [...parked].map(
          ([key, { cause, events, replay, since }]): ParkedKey => ({
            key,
            reason: cause,
            since,
            replay,
            events: events.size
          })
        )
      ),
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
      unpark: (lease, delivered) =>
        fenced(lease, () => {
          for (const { id, key } of delivered) {
            const found = parked.get(key)
            found?.events.delete(id)
            if (found?.events.size === 0) {
              parked.delete(key)
            }
          }
        }),
      status: Effect.map(Clock.currentTimeMillis, (now) => {
        const oldest = events[cursor.position]
        return {
          lanes: [
            {
              lane: 0,
              owner: cursor.until > now ? Option.fromUndefinedOr(cursor.owner) : Option.none(),
              epoch: String(cursor.epoch),
              position: String(cursor.position),
              events: Math.min(events.length - cursor.position, lagLimit),
              seconds: oldest === undefined ? 0 : Math.max(0, (now - Date.parse(oldest.at)) / 1000)
            }
          ],
          oldestTransactionSeconds: 0
        }
      })
    })
  })
)
