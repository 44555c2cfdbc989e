/** Outboxes that give lanes or refuse writes wrongly. */
import type { Lease } from "@invoice/core/ports/Outbox"
import { Effect, Option } from "effect"
import * as Memory from "../../src/memory/Memory.ts"
import type { Ports } from "./Broken.ts"
import { instances, lastLease, law, lenient, mutant, type Port, stalling } from "./BrokenOutbox.ts"
import type { Mutant } from "./Suite.ts"

/** Takes the time of a lease for something else. */
const lasts = (change: (ttlMillis: number) => number) => (outbox: Port) => ({
  acquire: ((options) =>
    outbox.acquire({ ...options, ttlMillis: change(options.ttlMillis) })) satisfies Port["acquire"],
  renew: ((lease, ttlMillis) => outbox.renew(lease, change(ttlMillis))) satisfies Port["renew"]
})

/** Answers an owner who asks again with the lease that it has. */
const sameLeaseAgain = (outbox: Port): Partial<Port> => {
  let held: Lease | undefined
  return {
    acquire: (options) =>
      held?.owner === options.owner
        ? Effect.succeed(Option.some(held))
        : Effect.tap(outbox.acquire(options), (lease) =>
            Effect.sync(() => {
              held = Option.getOrElse(lease, () => held)
            })
          ),
    release: (lease) => {
      held = undefined
      return outbox.release(lease)
    }
  }
}

/** Lets its owner go on under a lease that it has released. */
const writesAfterRelease = (outbox: Port): Partial<Port> => {
  const released = new Set<string>()
  const unless = <A, E>(lease: Lease, write: Effect.Effect<A, E>) =>
    released.has(lease.epoch) ? Effect.void : Effect.asVoid(write)
  return {
    release: (lease) => {
      released.add(lease.epoch)
      return outbox.release(lease)
    },
    commit: (lease, position) => unless(lease, outbox.commit(lease, position)),
    renew: (lease, ttlMillis) => unless(lease, outbox.renew(lease, ttlMillis)),
    park: (options) => unless(options.lease, outbox.park(options)),
    unpark: (lease, events) => unless(lease, outbox.unpark(lease, events))
  }
}

/** Looks whether the lane is free, and takes it a moment later. */
const takesLater = (outbox: Port): Partial<Port> => ({
  acquire: (options) =>
    Effect.gen(function* () {
      const { lanes } = yield* outbox.status
      const lane = lanes[options.lane]
      if (lane === undefined || Option.isSome(lane.owner)) return Option.none()
      yield* Effect.yieldNow
      return yield* outbox
        .acquire({ ...options, owner: "whoever" })
        .pipe(Effect.map(Option.map((lease) => ({ ...lease, owner: options.owner }))))
    })
})

const anyLease = () => () => true

export const holders: ReadonlyArray<Mutant<Ports>> = [
  mutant(
    "gives one lane to two relays",
    (outbox) => ({
      acquire: (options) => outbox.acquire({ ...options, owner: "everyone" })
    }),
    law.higherEpoch,
    law.runOut,
    law.race
  ),
  mutant(
    "gives every lease the same epoch",
    (outbox) => ({
      acquire: (options) =>
        Effect.map(
          outbox.acquire(options),
          Option.map((lease) => ({ ...lease, epoch: "1" }))
        )
    }),
    law.higherEpoch,
    law.runOut,
    law.sameOwner
  ),
  mutant("refuses nothing", lenient(anyLease), law.lost, law.otherOwner, law.sameOwner, law.runOut),
  mutant(
    "compares the owner only",
    lenient((lease) => (last) => last.owner === lease.owner),
    law.sameOwner
  ),
  mutant(
    "compares the epoch only",
    lenient((lease) => (last) => last.epoch === lease.epoch),
    law.otherOwner
  ),
  ...(["commit", "renew", "park", "unpark"] as const).map((write) =>
    mutant(
      `refuses no ${write}`,
      (outbox) => {
        const { acquire, ...writes } = lenient(anyLease)(outbox)
        return { acquire, [write]: writes[write] }
      },
      law.lost
    )
  ),
  mutant(
    "keeps a lane from its own owner",
    (outbox) => ({
      acquire: (options) => outbox.acquire({ ...options, owner: `${options.owner} ${crypto.randomUUID()}` })
    }),
    law.sameOwner
  ),
  mutant("gives its owner the same lease again", sameLeaseAgain, law.sameOwner),
  mutant("writes under a lease that was released", writesAfterRelease, law.released),
  mutant(
    "gives a lane back that another holds",
    (outbox) => {
      const { acquire, orLast } = lastLease(outbox)
      return { acquire, release: (lease) => outbox.release(orLast(lease, () => true)) }
    },
    law.runOut,
    law.otherOwner,
    law.sameOwner
  ),
  stalling(
    "gives leases for seconds that were asked for in milliseconds",
    lasts((millis) => millis * 1_000),
    law.duration
  ),
  mutant(
    "gives leases too short",
    lasts((millis) => millis / 100),
    law.duration
  ),
  stalling(
    "adds a renewal to what is left",
    (outbox) => ({
      renew: (lease, ttlMillis) => outbox.renew(lease, ttlMillis + 60_000)
    }),
    law.runOut
  ),
  mutant(
    "renews no lease that has run out",
    (outbox) => ({
      renew: (lease, ttlMillis) =>
        Effect.flatMap(outbox.status, ({ lanes }) =>
          Option.isNone(lanes[0]?.owner ?? Option.none())
            ? outbox.renew({ ...lease, epoch: "0" }, ttlMillis)
            : outbox.renew(lease, ttlMillis)
        )
    }),
    law.renewedLate
  ),
  mutant("says that it renews, and does not", () => ({ renew: () => Effect.void }), law.renewedLate, law.lost),
  mutant("takes a lane a moment after it has looked", takesLater, law.race),
  stalling(
    "shows an owner for ever",
    (outbox) => {
      const { acquire, orLast } = lastLease(outbox)
      const none: Lease = { lane: 0, owner: "", epoch: "", position: "" }
      return {
        acquire,
        status: Effect.map(outbox.status, (status) => ({
          ...status,
          lanes: status.lanes.map((lane) => ({ ...lane, owner: Option.some(orLast(none, () => true).owner) }))
        }))
      }
    },
    law.notShown
  ),
  mutant(
    "has a lane of every number",
    (outbox) => ({ acquire: (options) => outbox.acquire({ ...options, lane: 0 }) }),
    law.status
  )
]

/** Leases are each instance's own. */
const leasesOfItsOwn = (outbox: Port): Partial<Port> => {
  let owner: string | undefined
  return {
    acquire: (options) =>
      owner !== undefined && owner !== options.owner
        ? Effect.succeed(Option.none())
        : Effect.gen(function* () {
            const { lanes } = yield* outbox.status
            const current = lanes[0]?.owner ?? Option.none()
            if (Option.isSome(current)) {
              const lease = { lane: 0, owner: current.value, epoch: lanes[0]?.epoch ?? "", position: "" }
              yield* outbox.release(lease)
            }
            owner = options.owner
            return yield* outbox.acquire(options)
          }),
    release: (lease) => {
      owner = undefined
      return outbox.release(lease)
    }
  }
}

/** Epochs count from one in each instance. */
const epochsOfItsOwn = (outbox: Port): Partial<Port> => {
  const before = Effect.runSync(Effect.orDie(outbox.status)).lanes[0]?.epoch ?? "0"
  const out = (lease: Lease): Lease => ({ ...lease, epoch: `${Number(lease.epoch) - Number(before)}` })
  const back = (lease: Lease): Lease => ({ ...lease, epoch: `${Number(lease.epoch) + Number(before)}` })
  return {
    acquire: (options) => Effect.map(outbox.acquire(options), Option.map(out)),
    commit: (lease, position) => outbox.commit(back(lease), position),
    renew: (lease, ttlMillis) => outbox.renew(back(lease), ttlMillis),
    park: (options) => outbox.park({ ...options, lease: back(options.lease) }),
    unpark: (lease, events) => outbox.unpark(back(lease), events),
    release: (lease) => outbox.release(back(lease))
  }
}

/** Keeps replay requests to itself. */
const requestsOfItsOwn = (outbox: Port): Partial<Port> => {
  const asked = new Set<string>()
  return {
    replay: (key) => {
      asked.add(key)
      return outbox.replay(key)
    },
    replayable: (lease, limit) =>
      Effect.map(outbox.replayable(lease, limit), (events) => events.filter(({ key }) => asked.has(key)))
  }
}

export const severalInstances: ReadonlyArray<Mutant<Ports>> = [
  {
    fault: "forgets everything with its instance",
    make: () => Memory.layer,
    fails: [law.restart, law.leaseOutlives, law.takeOver, law.shared, law.races]
  },
  instances("has leases of each instance's own", leasesOfItsOwn, law.takeOver, law.races, law.leaseOutlives),
  instances("counts epochs from one in each instance", epochsOfItsOwn, law.restart, law.leaseOutlives),
  instances("keeps replay requests to the instance that was asked", requestsOfItsOwn, law.shared, law.restart)
]
