/**
 * Relaying one lane under one lease: the next page is read while the last one is being sent, and the position is committed
 * behind what the broker has acknowledged.
 *
 * It ends with the first failure of the outbox, and its position is forgotten with it: the next session begins at what is
 * committed. So nothing that was read from one server is ever told to another.
 */
import { Clock, Effect, Fiber, type Schedule } from "effect"
import type { LeaseLost, OutboxUnavailable, PublishTransient } from "../domain/InvoiceError.ts"
import type { MessagePublisher } from "../ports/MessagePublisher.ts"
import type { Lease, Outbox, OutboxPage } from "../ports/Outbox.ts"
import type { Signal } from "../ports/OutboxSignal.ts"
import * as Deadline from "./Deadline.ts"
import type { RelayLease } from "./RelayLease.ts"
import * as RelayPages from "./RelayPages.ts"

export interface Options {
  readonly outbox: Outbox["Service"]
  readonly publisher: MessagePublisher["Service"]
  readonly signal: Signal
  /** Most events sent at once. */
  readonly limit: number
  /** Longest wait before an idle session reads again, in milliseconds. */
  readonly idleMillis: number
  /** Between two tries while the broker is unavailable. */
  readonly backOff: Schedule.Schedule<unknown, PublishTransient | LeaseLost>
}

/** The wait of a busy session, in milliseconds; it doubles up to `idleMillis` while nothing comes. */
export const busyMillis = 5
const commitEveryMillis = 100
const replayEveryMillis = 1_000
/** How long a stop waits for the page in hand, so that it isn't sent twice. */
const finishMillis = 3_000
/** How long a stop waits for the outbox to take the position and the lane back. */
const goodbyeMillis = 2_000

/** Relays until the lease is lost, the outbox fails, or it is interrupted: then it commits and gives the lane back. */
export const run = (options: Options, held: RelayLease): Effect.Effect<never, LeaseLost | OutboxUnavailable> =>
  Effect.gen(function* () {
    const parked = new Set((yield* options.outbox.parked).map(({ key }) => key))
    const position = makePosition(options.outbox, held.lease)
    return yield* Effect.raceFirst(relay(options, held, position, parked), held.keep).pipe(
      Effect.onInterrupt(() => goodbye(options.outbox, held.lease, position))
    )
  })

/** Up to where all is published, and up to where the outbox knows it. */
interface Position {
  readonly advance: (to: string) => void
  readonly commit: Effect.Effect<void, LeaseLost | OutboxUnavailable>
}

const makePosition = (outbox: Outbox["Service"], lease: Lease): Position => {
  let published = lease.position
  let committed = lease.position
  return {
    advance: (to) => {
      published = to
    },
    commit: Effect.suspend(() => {
      const at = published
      return at === committed
        ? Effect.void
        : Effect.map(outbox.commit(lease, at), () => {
            committed = at
          })
    })
  }
}

/** A stop commits and gives the lane back, in bounded time; after a failure neither is known to be right. */
const goodbye = (outbox: Outbox["Service"], lease: Lease, position: Position): Effect.Effect<void> =>
  Effect.ignore(
    Deadline.within(Effect.andThen(position.commit, outbox.release(lease)), {
      millis: goodbyeMillis,
      orElse: () => "no answer"
    })
  )

const relay = Effect.fnUntraced(function* (
  options: Options,
  held: RelayLease,
  position: Position,
  parked: Set<string>
): Effect.fn.Return<never, LeaseLost | OutboxUnavailable> {
  const { idleMillis, limit, outbox, signal } = options
  const { lease } = held
  const pages = RelayPages.make({ ...options, held, parked })
  const read = (from: string) => outbox.read({ lease, position: from, limit })
  const deliver = (page: OutboxPage) =>
    finished(Effect.map(pages.relay(page.events), () => position.advance(page.next)))

  let wait = busyMillis
  let lastCommit = yield* Clock.currentTimeMillis
  let lastReplay = lastCommit
  // counted before each read, so that no signal is missed between the two
  let seen = yield* signal.count
  let page = yield* read(lease.position)
  while (true) {
    if (page.events.length === 0) {
      position.advance(page.next)
      yield* idle(signal, page.more ? 0 : wait, seen)
      wait = Math.min(wait * 2, idleMillis)
      seen = yield* signal.count
      page = yield* read(page.next)
    } else {
      wait = busyMillis
      seen = yield* signal.count
      const [next] = yield* Effect.all([read(page.next), deliver(page)], { concurrency: 2 })
      page = next
    }
    const now = yield* Clock.currentTimeMillis
    if (now - lastCommit >= commitEveryMillis) {
      yield* position.commit
      lastCommit = now
    }
    if (parked.size > 0 && now - lastReplay >= replayEveryMillis) {
      yield* pages.replay
      lastReplay = now
    }
  }
})

/** Waits, but no longer than until the signal comes; a millisecond more then, so that commits gather. */
const idle = (signal: Signal, millis: number, seen: number): Effect.Effect<void> =>
  millis === 0
    ? Effect.yieldNow
    : Effect.raceFirst(Effect.sleep(`${millis} millis`), Effect.andThen(signal.after(seen), Effect.sleep("1 millis")))

/** Not cut off by a stop, but bounded: an event sent and not committed would be sent again. */
const finished = <A, E>(send: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(Effect.interruptible(send)), (sending) =>
      restore(Fiber.join(sending)).pipe(
        Effect.onInterrupt(() =>
          Fiber.await(sending).pipe(
            Effect.timeoutOption(`${finishMillis} millis`),
            Effect.andThen(Fiber.interrupt(sending))
          )
        )
      )
    )
  )
