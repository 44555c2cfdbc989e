/** Outboxes that park or replay wrongly. */
import { Timestamp } from "@invoice/core"
import { Effect } from "effect"
import type { Ports } from "./Broken.ts"
import { law, mutant, type Port, tells } from "./BrokenOutbox.ts"
import type { Mutant } from "./Suite.ts"

/** Asks for the replay of every key as soon as one is asked for. */
const replaysAll = (outbox: Port): Partial<Port> => ({
  replay: (key) =>
    Effect.gen(function* () {
      for (const other of yield* outbox.parked) yield* outbox.replay(other.key)
      return yield* outbox.replay(key)
    })
})

/** Parks again all that is parked of a key. */
const ends = (endsReplay: (told: boolean) => boolean) => (outbox: Port) => ({
  park: ((options) => outbox.park({ ...options, endsReplay: endsReplay(options.endsReplay) })) satisfies Port["park"]
})

/** Shows for a key the last reason that it was parked with. */
const lastReason = (outbox: Port): Partial<Port> => {
  const reasons = new Map<string, string>()
  return {
    park: (options) => {
      for (const { key } of options.events) reasons.set(key, options.reason)
      return outbox.park(options)
    },
    parked: Effect.map(outbox.parked, (keys) =>
      keys.map((key) => ({ ...key, reason: reasons.get(key.key) ?? key.reason }))
    )
  }
}

/** Shows for a key the first reason that it was parked with, for ever. */
const firstReason = (outbox: Port): Partial<Port> => {
  const reasons = new Map<string, string>()
  return {
    park: (options) => {
      for (const { key } of options.events) reasons.set(key, reasons.get(key) ?? options.reason)
      return outbox.park(options)
    },
    parked: Effect.map(outbox.parked, (keys) =>
      keys.map((key) => ({ ...key, reason: reasons.get(key.key) ?? key.reason }))
    )
  }
}

/** Parks every event under a name of its own, however often it has parked it. */
const parksTwice = (outbox: Port): Partial<Port> => ({
  park: (options) =>
    outbox.park({ ...options, events: options.events.map((event) => ({ ...event, id: crypto.randomUUID() })) })
})

export const parking: ReadonlyArray<Mutant<Ports>> = [
  mutant("parks an event as often as it is told to", parksTwice, law.lifeCycle),
  mutant(
    "parks the first event of a key only",
    (outbox) => ({
      park: (options) => outbox.park({ ...options, events: options.events.slice(0, 1) })
    }),
    law.refusedAgain
  ),
  mutant(
    "parks a thousand events at most",
    (outbox) => ({ park: (options) => outbox.park({ ...options, events: options.events.slice(0, 1_000) }) }),
    law.mostParked
  ),
  mutant(
    "forgets the trace of what it parks",
    (outbox) => ({
      park: (options) =>
        outbox.park({ ...options, events: options.events.map(({ traceparent: _, ...event }) => event) })
    }),
    law.lifeCycle
  ),
  mutant(
    "replays backwards",
    (outbox) => ({
      replayable: (lease, limit) => Effect.map(outbox.replayable(lease, limit), (events) => events.toReversed())
    }),
    law.lifeCycle,
    law.limited
  ),
  mutant(
    "unparks a key with its first event",
    (outbox) => ({
      unpark: (lease, events) =>
        Effect.gen(function* () {
          const keys = new Set(events.map(({ key }) => key))
          for (const key of keys) yield* outbox.replay(key)
          const all = yield* outbox.replayable(lease, 1_000)
          yield* outbox.unpark(
            lease,
            all.filter(({ key }) => keys.has(key))
          )
        })
    }),
    law.lifeCycle,
    law.limited
  ),
  mutant("tells the last reason of a key", lastReason, law.reason, law.standing),
  mutant("tells the first reason of a key for ever", firstReason, law.refusedAgain),
  mutant(
    "does not know since when a key is parked",
    tells((key) => ({ ...key, since: Timestamp.fromMillis(0) })),
    law.reason
  ),
  mutant("replays every key when one is asked for", replaysAll, law.onlyThatKey),
  mutant(
    "replays more than it is asked for",
    (outbox) => ({ replayable: (lease) => outbox.replayable(lease, 1_000) }),
    law.limited
  ),
  mutant(
    "ends a replay whenever it parks",
    ends(() => true),
    law.standing
  ),
  mutant(
    "never ends a replay",
    ends(() => false),
    law.refusedAgain
  ),
  mutant(
    "hides what is parked from who reads",
    (outbox) => ({
      read: (options) =>
        Effect.gen(function* () {
          const parked = new Set((yield* outbox.parked).map(({ key }) => key))
          const page = yield* outbox.read(options)
          return { ...page, events: page.events.filter(({ key }) => !parked.has(key)) }
        })
    }),
    law.notHidden
  )
]
