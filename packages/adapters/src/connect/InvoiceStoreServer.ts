/** `invoice.v1.InvoiceStoreService`: what the store port needs beyond `InvoiceService`. Internal. */
import type { ConnectRouter } from "@connectrpc/connect"
import { Invoice, InvoiceStore } from "@invoice/core"
import type { CreateOptions, Creation, Decided, Decision } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import {
  CreationOutcome,
  DecisionOutcome,
  InvoiceStoreService,
  type InvoiceStoreServiceCreateRequest,
  type Decision as WireDecision
} from "./gen/invoice/v1/invoice_store_service_pb.ts"
import * as Messages from "./Messages.ts"
import type { ServerCalls } from "./ServerCalls.ts"

const outcomes = {
  Decided: DecisionOutcome.DECIDED,
  AlreadyFinal: DecisionOutcome.ALREADY_FINAL,
  Stale: DecisionOutcome.STALE,
  NotFound: DecisionOutcome.NOT_FOUND
} as const satisfies Record<Decided["outcome"], DecisionOutcome>

const creations = {
  Created: CreationOutcome.CREATED,
  Unchanged: CreationOutcome.UNCHANGED,
  Replayed: CreationOutcome.REPLAYED
} as const satisfies Record<Creation["outcome"], CreationOutcome>

const toCreateOptions = ({ by, idempotency, traceparent }: InvoiceStoreServiceCreateRequest): CreateOptions => ({
  traceparent,
  by: by === "" ? undefined : by,
  idempotency: idempotency && {
    key: idempotency.key,
    principal: idempotency.principal,
    hash: idempotency.hash
  }
})

/** Undefined when the id is not a UUID: no invoice has it. */
const toDecision = (wire: WireDecision): Decision | undefined => {
  const id = Invoice.parseId(wire.id)
  return id === undefined
    ? undefined
    : { id, version: wire.version, verdict: Messages.toVerdict(wire), traceparent: wire.traceparent }
}

export const routes = (calls: ServerCalls): Effect.Effect<(router: ConnectRouter) => void, never, InvoiceStore> =>
  Effect.map(InvoiceStore, (store) => (router) => {
    const decide = (wire: ReadonlyArray<WireDecision>) =>
      Effect.suspend(() => {
        const decisions = wire.map(toDecision)
        return Effect.map(store.decide(decisions.filter((decision) => decision !== undefined)), (decided) => {
          const rest = [...decided]
          return decisions.map((decision) => outcomes[(decision && rest.shift()?.outcome) ?? "NotFound"])
        })
      })

    router.service(
      InvoiceStoreService,
      {
        create: (request, context) =>
          calls.unary(
            context,
            Effect.suspend(() =>
              Effect.map(
                store.create(Messages.toInvoice(request.invoice), toCreateOptions(request)),
                ({ outcome, stored }) => ({ invoice: Messages.fromStored(stored), outcome: creations[outcome] })
              )
            )
          ),
        getMany: ({ ids }, context) =>
          calls.unary(
            context,
            Effect.map(store.getMany(ids.map(Invoice.parseId).filter((id) => id !== undefined)), (found) => ({
              invoices: found.map(Messages.fromStored)
            }))
          ),
        decide: ({ decisions }, context) =>
          calls.unary(
            context,
            Effect.map(decide(decisions), (outcomes) => ({ outcomes }))
          ),
        listChanges: ({ cursor, limit }, context) =>
          calls.unary(
            context,
            Effect.map(
              store.changes({ cursor, limit: Math.min(Math.max(limit, 1), 10_000) }),
              ({ changes, more, next }) => ({ changes: changes.map(Messages.fromChange), more, next })
            )
          ),
        head: (_, context) =>
          calls.unary(
            context,
            Effect.map(store.head, (cursor) => ({ cursor }))
          ),
        ready: (_, context) => calls.unary(context, Effect.as(store.ready, {})),
        checkWritable: (_, context) => calls.unary(context, Effect.as(store.writable, {}))
      },
      { readMaxBytes: Messages.maxInternalBytes }
    )
  })
