/** A lease as its holder sees it: how long it certainly runs by this process' own clock, and how it is renewed. */
import { Clock, Effect } from "effect"
import { LeaseLost, OutboxUnavailable } from "../domain/InvoiceError.ts"
import type { Lease, Outbox } from "../ports/Outbox.ts"
import * as Deadline from "./Deadline.ts"

export interface RelayLease {
  readonly lease: Lease
  /** Fails once the lease may have run out. */
  readonly check: Effect.Effect<void, LeaseLost>
  /**
   * Fails as soon as the lease may have run out, never succeeds: to race against work that is allowed only under it.
   */
  readonly expired: Effect.Effect<never, LeaseLost>
  /** Renews three times in the lease's time until that fails. */
  readonly keep: Effect.Effect<never, LeaseLost | OutboxUnavailable>
}

/**
 * The monotonic clock doesn't stop while a process is stopped, and can't be set like the time of day. It is read before
 * the request, so that the lease ends here before it ends in the outbox.
 *
 * @param askedAt nanoseconds of the clock before the lease was asked for
 */
export const make = (outbox: Outbox["Service"], lease: Lease, ttlMillis: number, askedAt: bigint): RelayLease => {
  const third = Math.ceil(ttlMillis / 3)
  const half = Math.ceil(ttlMillis / 2)
  const ttl = BigInt(ttlMillis) * 1_000_000n
  let until = askedAt + ttl

  const left = Effect.map(Clock.currentTimeNanos, (now) => Number(until - now) / 1e6)
  const lost = Effect.suspend(() => Effect.fail(new LeaseLost({ lane: lease.lane })))

  const renew = Effect.flatMap(Clock.currentTimeNanos, (now) =>
    Effect.map(
      // asked after a third of the lease's time and given up after another half of that time, so that a sixth is left
      Deadline.within(outbox.renew(lease, ttlMillis), {
        millis: half,
        orElse: () => new OutboxUnavailable({ cause: new Error(`the lease was not renewed within ${half} ms`) })
      }),
      () => {
        until = now + ttl
      }
    )
  )

  return {
    lease,
    check: Effect.flatMap(left, (millis) => (millis > 0 ? Effect.void : lost)),
    expired: Effect.gen(function* () {
      for (;;) {
        const millis = yield* left
        if (millis <= 0) return yield* lost
        yield* Effect.sleep(`${Math.ceil(millis)} millis`)
      }
    }),
    keep: Effect.forever(Effect.andThen(Effect.sleep(`${third} millis`), renew))
  }
}
