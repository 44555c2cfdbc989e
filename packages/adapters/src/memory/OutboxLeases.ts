/** Who may relay the lane. */
import type { Lease, Outbox } from "@invoice/core/ports/Outbox"
import { Clock, Effect, Option } from "effect"
import { fenced, type OutboxLane } from "./OutboxLane.ts"

export const make = (only: OutboxLane): Pick<Outbox["Service"], "acquire" | "renew" | "release"> => ({
  acquire: ({ lane, owner, ttlMillis }) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (lane !== 0 || (only.owner !== undefined && only.owner !== owner && only.until > now)) {
        return Option.none<Lease>()
      }
      only.epoch += 1
      only.owner = owner
      only.until = now + ttlMillis
      return Option.some({ lane, owner, epoch: String(only.epoch), position: String(only.position) })
    }),
  renew: (lease, ttlMillis) =>
    fenced(only, lease, (now) => {
      only.until = now + ttlMillis
    }),
  release: (lease) =>
    Effect.ignore(
      fenced(only, lease, () => {
        only.owner = undefined
      })
    )
})
