/** Outboxes with faults, and the laws that they may break. */
import type { Outbox } from "@invoice/core"
import type { Lease, OutboxPage, ParkedKey } from "@invoice/core/ports/Outbox"
import { Effect, Option } from "effect"
import { shared } from "../SharedMemory.ts"
import { broken, type Ports } from "./Broken.ts"
import type { Mutant } from "./Suite.ts"

export type Port = Outbox["Service"]

export const mutant = (
  fault: string,
  outbox: (outbox: Port) => Partial<Port>,
  ...fails: ReadonlyArray<string>
): Mutant<Ports> => ({ fault, make: () => broken({ outbox }), fails })

/** It shows by something that never happens. */
export const stalling = (
  fault: string,
  outbox: (outbox: Port) => Partial<Port>,
  ...fails: ReadonlyArray<string>
): Mutant<Ports> => ({ ...mutant(fault, outbox, ...fails), waits: true })

/** Several instances of it share what a sound outbox keeps, but for the fault. */
export const instances = (
  fault: string,
  outbox: (outbox: Port) => Partial<Port>,
  ...fails: ReadonlyArray<string>
): Mutant<Ports> => ({ fault, make: () => broken({ outbox }, shared()), fails })

/** Reads something else than there is. */
export const reads = (change: (page: OutboxPage, position: string) => OutboxPage) => (outbox: Port) => ({
  read: (options: Parameters<Port["read"]>[0]) =>
    Effect.map(outbox.read(options), (page) => change(page, options.position))
})

/** Remembers the lease that was given last. */
export const lastLease = (outbox: Port) => {
  let last: Lease | undefined
  return {
    acquire: (options: Parameters<Port["acquire"]>[0]) =>
      Effect.tap(outbox.acquire(options), (lease) =>
        Effect.sync(() => {
          if (Option.isSome(lease)) last = lease.value
        })
      ),
    /** The lease itself, or the last one when it passes for it. */
    orLast: (lease: Lease, passes: (last: Lease) => boolean): Lease =>
      last !== undefined && passes(last) ? last : lease
  }
}

/** Lets writes pass that it has to refuse. */
export const lenient = (passes: (lease: Lease) => (last: Lease) => boolean) => (outbox: Port) => {
  const { acquire, orLast } = lastLease(outbox)
  const held = (lease: Lease) => orLast(lease, passes(lease))
  const writes = {
    commit: (lease, position) => outbox.commit(held(lease), position),
    renew: (lease, ttlMillis) => outbox.renew(held(lease), ttlMillis),
    park: (options) => outbox.park({ ...options, lease: held(options.lease) }),
    unpark: (lease, events) => outbox.unpark(held(lease), events),
    release: (lease) => outbox.release(held(lease))
  } satisfies Partial<Port>
  return { acquire, ...writes }
}

/** Tells something else of what is parked. */
export const tells = (change: (key: ParkedKey) => ParkedKey) => (outbox: Port) => ({
  parked: Effect.map(outbox.parked, (keys) => keys.map(change))
})

/** The laws of `OutboxContract`. */
export const law = {
  once: "everything is read once in pages of any size, in order of the changes of each key",
  goesOn: "a relay goes on where the last one committed, and not further",
  window: "a position within a window is remembered",
  backwards: "a position may be committed backwards, and what is behind it is read again",
  empty: "an empty page leaves a position that goes on",
  whole: "an event carries what its change told, an id of its own, and the trace context if there was one",
  largePage: "10,000 events are read in one page",
  writers: "with sixteen writers at work nothing is lost, repeated or out of order",
  higherEpoch: "one relay holds a lane; the next one has a higher epoch",
  lost: "what a relay writes after it lost its lane is refused",
  otherOwner: "what another owner writes under the lane's epoch is refused",
  sameOwner: "a lane is given to its owner again under a higher epoch, and the lease before is lost",
  released: "nothing is written under a lease that was released",
  runOut: "a lane whose lease has run out goes to the next relay, and its old holder is fenced off",
  duration: "a lease lasts as long as it was asked for",
  renewedLate: "a lease that has run out is renewed while nobody has taken the lane",
  race: "of twenty relays that ask at once one gets the lane",
  status: "the status tells who holds a lane, under which epoch and from where",
  notShown: "the status does not show an owner whose lease has run out",
  lifeCycle: "parked events are held back by key, listed, sent again in order when asked, and gone when sent",
  reason: "a parked key keeps the reason and the time of its first event, whatever is parked behind it",
  standing: "a replay that was asked for stands when its events are parked again",
  refusedAgain: "a replay that is refused again is over, and its key has the new reason",
  onlyThatKey: "a replay is asked for one key, and touches no other",
  limited: "no more events are replayable at once than asked for, those of a key in order",
  mostParked: "10,000 events are parked at once",
  notHidden: "a read hides nothing: the events of a parked key are read again from where they were",
  restart: "positions, epochs and what is parked outlive the instance that wrote them",
  leaseOutlives: "a lease outlives the instance that took it",
  takeOver: "a lane goes from one instance to another, and the old holder is fenced off",
  shared: "what one instance writes, parks or asks for another one sees",
  races: "of many who ask through two instances one gets the lane",
  notPassed: "the status tells what the committed position has not passed",
  age: "the lag is the age of the oldest event that waits, in seconds",
  counted: "counting what waits stops at the limit"
}
