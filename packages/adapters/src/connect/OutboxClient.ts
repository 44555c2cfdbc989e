/** `Outbox` on another program's outbox, over `OutboxService`. */
import { type ConnectError, createClient, type Transport } from "@connectrpc/connect"
import { Outbox, OutboxUnavailable } from "@invoice/core"
import { Effect, Layer, Option } from "effect"
import { OutboxService } from "./gen/invoice/v1/outbox_service_pb.ts"
import * as Messages from "./Messages.ts"
import { fromRecorded, toLease, toRecorded } from "./OutboxMessages.ts"
import * as Remote from "./Remote.ts"

const unavailable = (cause: ConnectError): OutboxUnavailable => new OutboxUnavailable({ cause })

const duration = (millis: number) => ({
  seconds: BigInt(Math.floor(millis / 1_000)),
  nanos: Math.floor(millis % 1_000) * 1_000_000
})

export const make = (transport: Transport): Outbox["Service"] => {
  const outbox = createClient(OutboxService, transport)
  return {
    acquire: ({ lane, owner, ttlMillis }) =>
      Effect.map(
        Remote.call(
          (options) => outbox.acquire({ lane, owner, ttl: duration(ttlMillis) }, options),
          ["OutboxRestored"],
          unavailable
        ),
        ({ lease }) => (lease === undefined ? Option.none() : Option.some(toLease(lease)))
      ),
    renew: (lease, ttlMillis) =>
      Effect.asVoid(
        Remote.call((options) => outbox.renew({ lease, ttl: duration(ttlMillis) }, options), ["LeaseLost"], unavailable)
      ),
    release: (lease) => Effect.asVoid(Remote.call((options) => outbox.release({ lease }, options), [], unavailable)),
    read: ({ lease, limit, position }) =>
      Effect.map(
        Remote.call((options) => outbox.read({ lease, position, limit }, options), [], unavailable),
        ({ events, more, next }) => ({ events: events.map(toRecorded), more, next })
      ),
    commit: (lease, position) =>
      Effect.asVoid(Remote.call((options) => outbox.commit({ lease, position }, options), ["LeaseLost"], unavailable)),
    park: ({ endsReplay, events, lease, reason }) =>
      Effect.asVoid(
        Remote.call(
          (options) => outbox.park({ lease, events: events.map(fromRecorded), reason, endsReplay }, options),
          ["LeaseLost"],
          unavailable
        )
      ),
    parked: Effect.map(
      Remote.call((options) => outbox.listParked({}, options), [], unavailable),
      ({ keys }) =>
        keys.map(({ events, key, reason, replay, since }) => ({
          key,
          events,
          reason,
          since: Messages.toTimestamp(since),
          replay
        }))
    ),
    replay: (key) =>
      Effect.map(
        Remote.call((options) => outbox.replay({ key }, options), [], unavailable),
        ({ events }) => events
      ),
    replayable: (lease, limit) =>
      Effect.map(
        Remote.call((options) => outbox.listReplayable({ lease, limit }, options), [], unavailable),
        ({ events }) => events.map(toRecorded)
      ),
    unpark: (lease, events) =>
      Effect.asVoid(
        Remote.call(
          (options) => outbox.unpark({ lease, events: events.map(fromRecorded) }, options),
          ["LeaseLost"],
          unavailable
        )
      ),
    status: Effect.map(
      Remote.call((options) => outbox.status({}, options), [], unavailable),
      ({ lanes, oldestTransactionSeconds }) => ({
        lanes: lanes.map(({ epoch, events, lane, owner, position, seconds }) => ({
          lane,
          owner: Option.fromUndefinedOr(owner),
          epoch,
          position,
          events,
          seconds
        })),
        oldestTransactionSeconds
      })
    )
  }
}

/** On a transport to a program that serves `OutboxService`, such as `invoice storage`. */
export const layer = (transport: Transport): Layer.Layer<Outbox> => Layer.sync(Outbox, () => Outbox.of(make(transport)))
