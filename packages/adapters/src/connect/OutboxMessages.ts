/** Converts between the messages of `invoice.v1.OutboxService` and the core's types. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { OutboxEvent } from "@invoice/core/OutboxEvent"
import type { Lease } from "@invoice/core/ports/Outbox"
import type { EventSchema, Event as WireEvent, Lease as WireLease } from "./gen/invoice/v1/outbox_service_pb.ts"
import * as Messages from "./Messages.ts"

export const fromRecorded = (event: OutboxEvent): MessageInitShape<typeof EventSchema> => ({
  ...event,
  // a copy, since some runtimes would send the whole buffer of which the payload is a view
  payload: new Uint8Array(event.payload),
  at: Messages.fromTimestamp(event.at)
})

export const toRecorded = (wire: WireEvent): OutboxEvent => ({
  id: wire.id,
  topic: wire.topic,
  key: wire.key,
  type: wire.type,
  version: wire.version,
  payload: wire.payload,
  at: Messages.toTimestamp(wire.at),
  ...(wire.traceparent === undefined ? {} : { traceparent: wire.traceparent })
})

/** A message without a lease becomes a lease that nobody holds: no lane has an empty epoch. */
export const toLease = (wire: WireLease | undefined): Lease => ({
  lane: wire?.lane ?? 0,
  owner: wire?.owner ?? "",
  epoch: wire?.epoch ?? "",
  position: wire?.position ?? ""
})
