/** Outboxes that read, commit or count wrongly. */
import { OutboxUnavailable } from "@invoice/core"
import type { LaneStatus } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Option } from "effect"
import type { Ports } from "./Broken.ts"
import { law, mutant, type Port, reads } from "./BrokenOutbox.ts"
import type { Mutant } from "./Suite.ts"

const number = (position: string, change: (position: number) => number): string => `${change(Number(position))}`

/** Commits something else than it is told. */
const commits = (change: (position: string) => string) => (outbox: Port) => ({
  commit: ((lease, position) => outbox.commit(lease, change(position))) satisfies Port["commit"]
})

/** Gives the lane from something else than what is committed. */
const begins = (change: (position: string) => string) => (outbox: Port) => ({
  acquire: ((options) =>
    Effect.map(outbox.acquire(options), (lease) =>
      lease._tag === "None" ? lease : { ...lease, value: { ...lease.value, position: change(lease.value.position) } }
    )) satisfies Port["acquire"]
})

export const readers: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "reads backwards",
    reads((page) => ({ ...page, events: page.events.toReversed() })),
    law.once
  ),
  mutant(
    "reads the last event of a page again",
    reads((page) => ({
      ...page,
      next: page.events.length > 1 ? number(page.next, (next) => next - 1) : page.next
    })),
    law.once
  ),
  mutant(
    "skips",
    reads((page) => ({ ...page, events: page.events.filter((_, index) => index !== 3) })),
    law.writers,
    law.once
  ),
  mutant(
    "reads an event twice",
    reads((page) => ({ ...page, events: page.events.flatMap((event) => [event, event]) })),
    law.writers
  ),
  mutant(
    "gives every reading of an event another id",
    reads((page) => ({
      ...page,
      events: page.events.map((event) => ({ ...event, id: crypto.randomUUID() }))
    })),
    law.whole,
    law.goesOn
  ),
  mutant(
    "loses the trace context",
    reads((page) => ({
      ...page,
      events: page.events.map(({ traceparent: _, ...event }) => event)
    })),
    law.whole
  ),
  mutant(
    "tells all events of one type",
    reads((page) => ({
      ...page,
      events: page.events.map((event) => ({ ...event, type: "invoice.changed" }))
    })),
    law.whole
  ),
  mutant(
    "reads a thousand events at most",
    (outbox) => ({
      read: (options) => outbox.read({ ...options, limit: Math.min(options.limit, 1_000) })
    }),
    law.largePage
  ),
  mutant(
    "lets only the holder of the lane read",
    (outbox) => ({
      read: (options) =>
        Effect.flatMap(outbox.status, ({ lanes }) =>
          lanes[0]?.epoch === options.lease.epoch
            ? outbox.read(options)
            : Effect.fail(new OutboxUnavailable({ cause: "not the holder" }))
        )
    }),
    law.lost,
    law.sameOwner
  ),
  mutant(
    "begins again after an empty page",
    reads((page) => (page.events.length > 0 ? page : { ...page, next: "0" })),
    law.empty
  ),
  mutant(
    "skips what comes after an empty page",
    reads((page) => (page.events.length > 0 ? page : { ...page, next: number(page.next, (next) => next + 1) })),
    law.empty
  ),
  mutant(
    "begins at the beginning",
    begins(() => "0"),
    law.goesOn,
    law.backwards,
    law.window
  ),
  mutant(
    "goes on behind what is committed",
    begins((position) => number(position, (at) => at + 1)),
    law.goesOn,
    law.window
  ),
  mutant(
    "commits a window whole",
    commits((position) => number(position, (at) => Math.ceil(at / 5) * 5)),
    law.window
  ),
  mutant(
    "commits nothing backwards",
    (outbox) => {
      let highest = 0
      return commits((position) => {
        highest = Math.max(highest, Number(position))
        return `${highest}`
      })(outbox)
    },
    law.backwards
  )
]

/** Tells something else of its lane. */
const status = (change: (lane: LaneStatus) => Effect.Effect<LaneStatus>) => (outbox: Port) => ({
  status: Effect.flatMap(outbox.status, (status) =>
    Effect.map(Effect.forEach(status.lanes, change), (lanes) => ({ ...status, lanes }))
  )
})

/** Counts and dates by all events that wait. */
const countsAll = (outbox: Port) =>
  status((lane) =>
    Effect.gen(function* () {
      const lease = { lane: 0, owner: "", epoch: "", position: "" }
      const { events } = yield* outbox.read({ lease, position: lane.position, limit: 1_000_000 })
      const newest = events.at(-1)
      const now = yield* Clock.currentTimeMillis
      return {
        ...lane,
        events: events.length,
        seconds: newest === undefined ? 0 : (now - Date.parse(newest.at)) / 1_000
      }
    }).pipe(Effect.orDie)
  )(outbox)

export const counters: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "counts what is committed",
    status((lane) => Effect.succeed({ ...lane, events: Number(lane.position) + lane.events })),
    law.notPassed
  ),
  mutant(
    "counts pages",
    status((lane) => Effect.succeed({ ...lane, events: Math.ceil(lane.events / 1_000) })),
    law.notPassed
  ),
  mutant(
    "tells its lag in milliseconds",
    status((lane) => Effect.succeed({ ...lane, seconds: lane.seconds * 1_000 })),
    law.age
  ),
  mutant(
    "has no lag",
    status((lane) => Effect.succeed({ ...lane, seconds: 0 })),
    law.age
  ),
  mutant("tells the age of the newest event, and counts without end", countsAll, law.age, law.counted),
  mutant(
    "shows nobody's lease",
    status((lane) => Effect.succeed({ ...lane, owner: Option.none() })),
    law.status
  )
]
