/** `Outbox` on another program's outbox, over `OutboxService`. */
import { type Client, type ConnectError, createClient, type Transport } from "@connectrpc/connect"
import { Outbox, OutboxUnavailable } from "@invoice/core"
import { Effect, Layer, Option } from "effect"
import * as ClientCalls from "./ClientCalls.ts"
import { OutboxService } from "./gen/invoice/v1/outbox_service_pb.ts"
import * as Messages from "./Messages.ts"
import { fromRecorded, toLease, toRecorded } from "./OutboxMessages.ts"

const unavailable = (cause: ConnectError): OutboxUnavailable => new OutboxUnavailable({ cause })

const duration = (millis: number) => ({
  seconds: BigInt(Math.floor(millis / 1_000)),
  nanos: Math.floor(millis % 1_000) * 1_000_000
})

/** Reading may take this many times as long: the first page of a long backlog is put in order before it is sent. */
const readFactor = 6

type Port = Outbox["Service"]

interface Calls {
  readonly outbox: Client<typeof OutboxService>
  readonly call: ClientCalls.Caller<OutboxUnavailable>
  /** With the deadline of a read. */
  readonly callLong: ClientCalls.Caller<OutboxUnavailable>
}

export const make = (transport: Transport, options: ClientCalls.Options = {}): Outbox["Service"] => {
  const { timeoutMillis = ClientCalls.defaultTimeoutMillis } = options
  const calls: Calls = {
    outbox: createClient(OutboxService, transport),
    call: ClientCalls.caller(unavailable, { timeoutMillis }),
    callLong: ClientCalls.caller(unavailable, { timeoutMillis: timeoutMillis * readFactor })
  }
  return { ...leases(calls), ...events(calls), ...parking(calls), status: status(calls) }
}

const leases = ({ call, outbox }: Calls): Pick<Port, "acquire" | "renew" | "release"> => ({
  acquire: ({ lane, owner, ttlMillis }) =>
    Effect.map(
      call((options) => outbox.acquire({ lane, owner, ttl: duration(ttlMillis) }, options), ["OutboxRestored"]),
      ({ lease }) => (lease === undefined ? Option.none() : Option.some(toLease(lease)))
    ),
  renew: (lease, ttlMillis) =>
    Effect.asVoid(call((options) => outbox.renew({ lease, ttl: duration(ttlMillis) }, options), ["LeaseLost"])),
  release: (lease) => Effect.asVoid(call((options) => outbox.release({ lease }, options), []))
})

const events = ({ call, callLong, outbox }: Calls): Pick<Port, "read" | "commit"> => ({
  read: ({ lease, limit, position }) =>
    Effect.map(
      callLong((options) => outbox.read({ lease, position, limit }, options), []),
      ({ events, more, next }) => ({ events: events.map(toRecorded), more, next })
    ),
  commit: (lease, position) =>
    Effect.asVoid(call((options) => outbox.commit({ lease, position }, options), ["LeaseLost"]))
})

const parking = ({ call, outbox }: Calls): Pick<Port, "park" | "parked" | "replay" | "replayable" | "unpark"> => ({
  park: ({ endsReplay, events, lease, reason }) =>
    Effect.asVoid(
      call(
        (options) => outbox.park({ lease, events: events.map(fromRecorded), reason, endsReplay }, options),
        ["LeaseLost"]
      )
    ),
  parked: Effect.map(
    call((options) => outbox.listParked({}, options), []),
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
      call((options) => outbox.replay({ key }, options), []),
      ({ events }) => events
    ),
  replayable: (lease, limit) =>
    Effect.map(
      call((options) => outbox.listReplayable({ lease, limit }, options), []),
      ({ events }) => events.map(toRecorded)
    ),
  unpark: (lease, events) =>
    Effect.asVoid(call((options) => outbox.unpark({ lease, events: events.map(fromRecorded) }, options), ["LeaseLost"]))
})

const status = ({ callLong, outbox }: Calls): Port["status"] =>
  Effect.map(
    callLong((options) => outbox.status({}, options), []),
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

/** On a transport to a program that serves `OutboxService`, such as `invoice storage`. */
export const layer = (transport: Transport, options: ClientCalls.Options = {}): Layer.Layer<Outbox> =>
  Layer.sync(Outbox, () => Outbox.of(make(transport, options)))
