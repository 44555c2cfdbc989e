/** What the laws of `OutboxContract` share: events to write, and a lane to hold. */
import { assert } from "@effect/vitest"
import { type Invoice, InvoiceStore, Outbox, type Verdict } from "@invoice/core"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { LaneStatus, Lease, ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect, Option, type Scope } from "effect"
import type * as Contract from "./Contract.ts"
import * as Generators from "./Generators.ts"
import { type BulkOptions, createEach } from "./ListLaws.ts"

export type Ports = InvoiceStore | Outbox

/** What an adapter claims beyond the laws that hold for all of them. */
export interface Features {
  /** Events, positions, leases and what is parked outlive the layer: a restart loses nothing. */
  readonly durable: boolean
  /** Several instances of the layer, in any processes, work on the same lanes. */
  readonly multiProcess: boolean
}

export type Law = Contract.Law<keyof Features>
export type MakeLaw = Contract.MakeLaw<Ports, keyof Features>
export type Elsewhere = Contract.Elsewhere<Ports>
export type Body = Effect.Effect<void, unknown, Ports | Scope.Scope>

const ttlMillis = 60_000

/** Gives a lease back, also when it is lost, so that a law that fails leaves the lane free for the next law. */
const giveBack = (outbox: Outbox["Service"], lease: Option.Option<Lease>): Effect.Effect<void> =>
  Option.isNone(lease) ? Effect.void : Effect.ignore(outbox.release(lease.value))

/** Leases the lane to an owner, if the outbox gives it, until the law is over. */
export const acquireFrom = (outbox: Outbox["Service"], owner: string, millis = ttlMillis) =>
  Effect.acquireRelease(outbox.acquire({ lane: 0, owner, ttlMillis: millis }), (lease) => giveBack(outbox, lease))

export const acquireAs = (owner: string, millis?: number) =>
  Effect.flatMap(Outbox, (outbox) => acquireFrom(outbox, owner, millis))

/** Leases the lane, which has to be free, until the law is over. */
export const acquire = Effect.suspend(() =>
  Effect.map(
    acquireAs(crypto.randomUUID()),
    Option.getOrThrowWith(() => new Error("another relay holds lane 0"))
  )
)

/** Holds the lane while a law runs. */
export const leased = <A, E, R>(use: (lease: Lease) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(acquire, use))

/** Everything after a position, and the position after it. */
export const drain = Effect.fnUntraced(function* (lease: Lease, from: string, limit: number) {
  const outbox = yield* Outbox
  const events: Array<OutboxEvent> = []
  let position = from
  let more = true
  while (more) {
    const page = yield* outbox.read({ lease, position, limit })
    assert.isAtMost(page.events.length, limit)
    events.push(...page.events)
    position = page.next
    more = page.more
  }
  return { events, position }
})

/** Holds the lane while a law runs, and passes the law the position behind all events that are there. */
export const atTheEnd = <A, E, R>(use: (lease: Lease, position: string) => Effect.Effect<A, E, R>) =>
  leased((lease) => Effect.flatMap(drain(lease, lease.position, 10_000), ({ position }) => use(lease, position)))

const traceparent = `00-${"5".repeat(32)}-${"7".repeat(16)}-01`

/** Stores new invoices; each leaves an event, with a trace. */
export const create = (count: number) =>
  Effect.gen(function* () {
    const store = yield* InvoiceStore
    const invoices = Array.from({ length: count }, () => Generators.invoice())
    for (const invoice of invoices) yield* store.create(invoice, { traceparent })
    return invoices
  })

const approval: Verdict.Verdict = { status: "Approved", violations: [], by: "test@1" }

/** Decides invoices that are new; each leaves another event. */
export const decide = (invoices: ReadonlyArray<Invoice.Invoice>) =>
  Effect.flatMap(InvoiceStore, (store) =>
    store.decide(invoices.map(({ id }) => ({ id, version: 1, verdict: approval, traceparent })))
  )

/** Leaves so many events, two for each invoice, in batches. */
export const fill = (events: number, { createAll = createEach }: BulkOptions): Effect.Effect<void, unknown, Ports> =>
  Effect.gen(function* () {
    for (let left = events; left > 0; ) {
      const invoices = Generators.invoicesOf(Math.min(Math.ceil(left / 2), 5_000))
      yield* createAll(invoices)
      const decided = invoices.slice(0, left - invoices.length)
      if (decided.length > 0) yield* decide(decided)
      left -= invoices.length + decided.length
    }
  })

export const ids = (events: ReadonlyArray<OutboxEvent>): ReadonlyArray<string> => events.map(({ id }) => id)

/** A key as the outbox lists it; undefined when it isn't parked. */
export const parkedOf = (key: string | undefined): Effect.Effect<ParkedKey | undefined, unknown, Outbox> =>
  Effect.flatMap(Outbox, (outbox) => Effect.map(outbox.parked, (keys) => keys.find((one) => one.key === key)))

/** The status of lane 0. */
export const laneStatus: Effect.Effect<LaneStatus, unknown, Outbox> = Effect.flatMap(Outbox, (outbox) =>
  Effect.map(outbox.status, ({ lanes }) => lanes[0] ?? assert.fail("there is no lane"))
)
