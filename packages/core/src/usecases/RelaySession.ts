/**
 * Relays one lane under one lease: the next page is read while the last one is being sent, and the position is
 * committed after the broker has acknowledged the events before it.
 *
 * A session ends with the first failure of the outbox, and its position is dropped: the next session begins at the
 * committed position. So no position that was read from one server is ever sent to another.
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
  /** The waits between tries while the broker is unavailable. */
  readonly backOff: Schedule.Schedule<unknown, PublishTransient | LeaseLost>
}

/** The first wait after an event, in milliseconds; it doubles up to `idleMillis` while no event comes. */
export const busyMillis = 5
const commitEveryMillis = 100
const replayEveryMillis = 1_000
/** How long a stop waits for the page that is being sent, so that it isn't sent twice. */
const finishMillis = 3_000
/** How long a stop waits for the outbox to commit the position and release the lane. */
const releaseMillis = 2_000

/** Relays until the lease is lost, the outbox fails, or it is interrupted: then it commits and gives the lane back. */
export const run = (options: Options, held: RelayLease): Effect.Effect<never, LeaseLost | OutboxUnavailable> =>
  Effect.gen(function* () {
    const parked = new Set((yield* options.outbox.parked).map(({ key }) => key))
    const position = makePosition(options.outbox, held.lease)
    return yield* Effect.raceFirst(relay(options, held, position, parked), held.keep).pipe(
      Effect.onInterrupt(() => commitAndRelease(options.outbox, held.lease, position))
    )
  })

/** The position before which all is published, and the last position that the outbox has committed. */
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

/** Commits and gives the lane back, in bounded time. Only a stop does so: after a failure the position may be wrong. */
const commitAndRelease = (outbox: Outbox["Service"], lease: Lease, position: Position): Effect.Effect<void> =>
  Effect.ignore(
    Deadline.within(Effect.andThen(position.commit, outbox.release(lease)), {
      millis: releaseMillis,
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
  // counted before each read, so that a signal between the read and the wait is not missed
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

/** Waits until the time is over or a signal comes; a millisecond longer after a signal, so that commits gather. */
const idle = (signal: Signal, millis: number, seen: number): Effect.Effect<void> =>
  millis === 0
    ? Effect.yieldNow
    : Effect.raceFirst(Effect.sleep(`${millis} millis`), Effect.andThen(signal.after(seen), Effect.sleep("1 millis")))

/** Lets a send finish after a stop, within bounds: an event that is sent but not committed would be sent again. */
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
