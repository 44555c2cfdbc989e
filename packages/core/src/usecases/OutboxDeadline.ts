/** An outbox whose calls all end, for a caller that must notice when the adapter doesn't answer. */
import type { Effect } from "effect"
import { OutboxUnavailable } from "../domain/InvoiceError.ts"
import { Outbox } from "../ports/Outbox.ts"
import * as Deadline from "./Deadline.ts"

/** The first page of ten million waiting events takes seconds, since they have to be put in order. */
const readMillis = 60_000
const callMillis = 10_000

const within =
  (millis: number) =>
  <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | OutboxUnavailable> =>
    Deadline.within(call, {
      millis,
      orElse: () => new OutboxUnavailable({ cause: new Error(`no answer within ${millis} ms`) })
    })

/** Calls that take longer than 10 s (60 s for reading) fail with `OutboxUnavailable`. */
export const make = (outbox: Outbox["Service"]): Outbox["Service"] => {
  const call = within(callMillis)
  const read = within(readMillis)
  return Outbox.of({
    acquire: (options) => call(outbox.acquire(options)),
    renew: (lease, ttlMillis) => call(outbox.renew(lease, ttlMillis)),
    release: (lease) => call(outbox.release(lease)),
    read: (options) => read(outbox.read(options)),
    commit: (lease, position) => call(outbox.commit(lease, position)),
    park: (options) => call(outbox.park(options)),
    parked: call(outbox.parked),
    replay: (key) => call(outbox.replay(key)),
    replayable: (lease, limit) => call(outbox.replayable(lease, limit)),
    unpark: (lease, events) => call(outbox.unpark(lease, events)),
    status: read(outbox.status)
  })
}
