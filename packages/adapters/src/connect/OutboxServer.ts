/** `invoice.v1.OutboxService`: the outbox port, call by call. Internal. */
import type { Duration } from "@bufbuild/protobuf/wkt"
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect"
import { Outbox } from "@invoice/core"
import { Effect, Option } from "effect"
import { OutboxService } from "./gen/invoice/v1/outbox_service_pb.ts"
import * as Messages from "./Messages.ts"
import { fromRecorded, toLease, toRecorded } from "./OutboxMessages.ts"
import type { ServerCalls } from "./ServerCalls.ts"

const millis = (duration: Duration | undefined): number =>
  duration === undefined ? 0 : Number(duration.seconds) * 1_000 + Math.ceil(duration.nanos / 1_000_000)

const limit = (wire: number): number => Math.min(Math.max(wire, 1), 10_000)

type Service = ServiceImpl<typeof OutboxService>

export const routes = (calls: ServerCalls): Effect.Effect<(router: ConnectRouter) => void, never, Outbox> =>
  Effect.map(Outbox, (outbox) => (router) => {
    router.service(
      OutboxService,
      {
        ...leases(calls, outbox),
        ...events(calls, outbox),
        ...parking(calls, outbox),
        status: status(calls, outbox)
      },
      { readMaxBytes: Messages.maxInternalBytes }
    )
  })

const leases = (calls: ServerCalls, outbox: Outbox["Service"]): Pick<Service, "acquire" | "renew" | "release"> => ({
  acquire: ({ lane, owner, ttl }, context) =>
    calls.unary(
      context,
      Effect.map(outbox.acquire({ lane, owner, ttlMillis: millis(ttl) }), (lease) => ({
        lease: Option.getOrUndefined(lease)
      }))
    ),
  renew: ({ lease, ttl }, context) => calls.unary(context, Effect.as(outbox.renew(toLease(lease), millis(ttl)), {})),
  release: ({ lease }, context) => calls.unary(context, Effect.as(outbox.release(toLease(lease)), {}))
})

const events = (calls: ServerCalls, outbox: Outbox["Service"]): Pick<Service, "read" | "commit"> => ({
  read: (request, context) =>
    calls.unary(
      context,
      Effect.map(
        outbox.read({
          lease: toLease(request.lease),
          position: request.position,
          limit: limit(request.limit)
        }),
        ({ events, more, next }) => ({ events: events.map(fromRecorded), more, next })
      )
    ),
  commit: ({ lease, position }, context) => calls.unary(context, Effect.as(outbox.commit(toLease(lease), position), {}))
})

const parking = (
  calls: ServerCalls,
  outbox: Outbox["Service"]
): Pick<Service, "park" | "listParked" | "replay" | "listReplayable" | "unpark"> => ({
  park: ({ endsReplay, events, lease, reason }, context) =>
    calls.unary(
      context,
      Effect.as(
        Effect.suspend(() =>
          outbox.park({ lease: toLease(lease), events: events.map(toRecorded), reason, endsReplay })
        ),
        {}
      )
    ),
  listParked: (_, context) =>
    calls.unary(
      context,
      Effect.map(outbox.parked, (keys) => ({
        keys: keys.map((key) => ({ ...key, since: Messages.fromTimestamp(key.since) }))
      }))
    ),
  replay: ({ key }, context) =>
    calls.unary(
      context,
      Effect.map(outbox.replay(key), (events) => ({ events }))
    ),
  listReplayable: (request, context) =>
    calls.unary(
      context,
      Effect.map(outbox.replayable(toLease(request.lease), limit(request.limit)), (events) => ({
        events: events.map(fromRecorded)
      }))
    ),
  unpark: ({ events, lease }, context) =>
    calls.unary(
      context,
      Effect.as(
        Effect.suspend(() => outbox.unpark(toLease(lease), events.map(toRecorded))),
        {}
      )
    )
})

const status =
  (calls: ServerCalls, outbox: Outbox["Service"]): Service["status"] =>
  (_, context) =>
    calls.unary(
      context,
      Effect.map(outbox.status, ({ lanes, oldestTransactionSeconds }) => ({
        lanes: lanes.map(({ owner, ...lane }) => ({
          ...lane,
          ...Option.match(owner, { onNone: () => ({}), onSome: (owner) => ({ owner }) })
        })),
        oldestTransactionSeconds
      }))
    )
