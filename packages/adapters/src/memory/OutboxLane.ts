/** The only lane of the outbox: who may relay it, and how far it is published. */
import { LeaseLost } from "@invoice/core"
import type { Lease } from "@invoice/core/ports/Outbox"
import { Clock, Effect } from "effect"

export interface OutboxLane {
  epoch: number
  /** The number of events that are published. */
  position: number
  owner: string | undefined
  /** When the lease ends, in milliseconds. */
  until: number
}

export const make = (): OutboxLane => ({ epoch: 0, position: 0, owner: undefined, until: 0 })

/** Runs a write of a relay only while it is the lane's owner, under its epoch. */
export const fenced = <A>(only: OutboxLane, lease: Lease, write: (now: number) => A): Effect.Effect<A, LeaseLost> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    lease.epoch === String(only.epoch) && lease.owner === only.owner
      ? Effect.sync(() => write(now))
      : Effect.fail(new LeaseLost({ lane: lease.lane }))
  )
