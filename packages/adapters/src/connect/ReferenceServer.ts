/**
 * The reference's two storage services, for its own api and validation programs. The service of its scheduler is not
 * served: it can't promise order, and `OutboxService` takes its place.
 */
import type { ConnectRouter } from "@connectrpc/connect"
import { type InvoiceNotFound, InvoiceStore, Invoices, type StoreUnavailable, type Verdict } from "@invoice/core"
import type { InvalidInvoice } from "@invoice/core/InvoiceError"
import type { StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import { Effect } from "effect"
import { type AmountNotExact, InvoiceAlreadyFinal } from "./Errors.ts"
import { InvoiceStorage as ApiStorage } from "./gen/protocol/api_service/storage/storage_pb.ts"
import type { UUID } from "./gen/protocol/types/types_pb.ts"
import { InvoiceStorage as ValidationStorage } from "./gen/protocol/validation/storage/storage_pb.ts"
import * as ReferenceMessages from "./ReferenceMessages.ts"
import type { ServerCalls } from "./ServerCalls.ts"

/** Maximum number of bytes of one request message. */
const maxBytes = 1_048_576

const by = "reference"

const approved: Verdict.Verdict = { status: "Approved", violations: [], by }

/** The reference's validator rejects without a reason, so the violation can say only that. */
const rejected: Verdict.Verdict = {
  status: "Rejected",
  by,
  violations: [
    { code: "INV-REFERENCE", severity: "error", path: "", message: "rejected by a validator that gives no reasons" }
  ]
}

const toResponse = (stored: StoredInvoice) =>
  Effect.map(Effect.fromResult(ReferenceMessages.fromInvoice(stored.invoice)), (invoice) => ({
    invoice,
    status: ReferenceMessages.fromStatus(stored.status)
  }))

export const routes = (
  calls: ServerCalls
): Effect.Effect<(router: ConnectRouter) => void, never, Invoices | InvoiceStore> =>
  Effect.gen(function* () {
    const invoices = yield* Invoices
    const store = yield* InvoiceStore

    const get = (
      id: UUID | undefined
    ): Effect.Effect<StoredInvoice, InvalidInvoice | InvoiceNotFound | StoreUnavailable> =>
      invoices.get(ReferenceMessages.uuidText(id))

    const getResponse = (id: UUID | undefined) =>
      Effect.flatMap(
        get(id),
        (stored): Effect.Effect<Effect.Success<ReturnType<typeof toResponse>>, AmountNotExact> => toResponse(stored)
      )

    /** Applies a verdict. The same verdict again is no change; a different one is an error. */
    const settle = Effect.fnUntraced(function* (
      id: UUID | undefined,
      verdict: Verdict.Verdict
    ): Effect.fn.Return<object, InvalidInvoice | InvoiceNotFound | StoreUnavailable | InvoiceAlreadyFinal> {
      while (true) {
        const { invoice, status, version } = yield* get(id)
        if (status === verdict.status) {
          return {}
        }
        if (status !== "Pending") {
          return yield* new InvoiceAlreadyFinal({ id: invoice.id, status })
        }
        // if somebody else decides the invoice meanwhile, the next round sees it
        yield* store.decide([{ id: invoice.id, version, verdict }])
      }
    })

    return (router) => {
      router.service(
        ApiStorage,
        {
          upload: ({ invoice }, context) =>
            calls.unary(
              context,
              Effect.as(invoices.create(ReferenceMessages.toDocument(invoice), { pointer: "/invoice" }), {})
            ),
          get: ({ id }, context) => calls.unary(context, getResponse(id))
        },
        { readMaxBytes: maxBytes }
      )
      router.service(
        ValidationStorage,
        {
          get: ({ id }, context) => calls.unary(context, getResponse(id)),
          setApproved: ({ id }, context) => calls.unary(context, settle(id, approved)),
          setRejected: ({ id }, context) => calls.unary(context, settle(id, rejected))
        },
        { readMaxBytes: maxBytes }
      )
    }
  })
