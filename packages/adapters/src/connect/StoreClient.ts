/** `InvoiceStore` on another program's store, over `InvoiceService` and `InvoiceStoreService`. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Client, createClient, type Transport } from "@connectrpc/connect"
import { type Invoice, InvoiceStore, type StoreUnavailable } from "@invoice/core"
import type {
  CreateOptions,
  Creation,
  Decided,
  Decision,
  ListQuery,
  StoredInvoice
} from "@invoice/core/ports/InvoiceStore"
import { Effect, Layer, Option } from "effect"
import * as ClientCalls from "./ClientCalls.ts"
import * as Errors from "./Errors.ts"
import { InvoiceService, type ListRequestSchema } from "./gen/invoice/v1/invoice_service_pb.ts"
import { CreationOutcome, DecisionOutcome, InvoiceStoreService } from "./gen/invoice/v1/invoice_store_service_pb.ts"
import * as Messages from "./Messages.ts"

type Store = InvoiceStore["Service"]

const outcomes: Partial<Record<DecisionOutcome, Decided["outcome"]>> = {
  [DecisionOutcome.DECIDED]: "Decided",
  [DecisionOutcome.ALREADY_FINAL]: "AlreadyFinal",
  [DecisionOutcome.STALE]: "Stale",
  [DecisionOutcome.NOT_FOUND]: "NotFound"
}

const toOutcome = (wire: DecisionOutcome = DecisionOutcome.UNSPECIFIED): Decided["outcome"] =>
  outcomes[wire] ?? Messages.malformed(`outcome ${wire}`)

const fromDecision = ({ id, traceparent, verdict, version }: Decision) => ({
  id,
  version,
  status: Messages.fromStatus(verdict.status),
  violations: verdict.violations.map(Messages.fromViolation),
  by: verdict.by,
  ...(traceparent === undefined ? {} : { traceparent })
})

const creations: Partial<Record<CreationOutcome, Creation["outcome"]>> = {
  [CreationOutcome.CREATED]: "Created",
  [CreationOutcome.UNCHANGED]: "Unchanged",
  [CreationOutcome.REPLAYED]: "Replayed"
}

const fromCreate = (invoice: Invoice.Invoice, { by = "api", idempotency, traceparent }: CreateOptions) => ({
  invoice: Messages.fromInvoice(invoice),
  by,
  ...(traceparent === undefined ? {} : { traceparent }),
  ...(idempotency === undefined ? {} : { idempotency })
})

/** Maximum number of invoices that one call asks for, so that an answer stays within bounds. */
const chunk = 250

interface Calls {
  readonly invoices: Client<typeof InvoiceService>
  readonly store: Client<typeof InvoiceStoreService>
  readonly call: ClientCalls.Caller<StoreUnavailable>
}

export const make = (transport: Transport, options: ClientCalls.Options = {}): Store => {
  const calls: Calls = {
    invoices: createClient(InvoiceService, transport),
    store: createClient(InvoiceStoreService, transport),
    call: ClientCalls.caller(Errors.storeUnavailable, options)
  }
  return { ...writes(calls), ...reads(calls), ...changes(calls), ...probes(calls) }
}

const writes = ({ call, store }: Calls): Pick<Store, "create" | "decide"> => ({
  create: (invoice, options = {}) =>
    Effect.map(
      call((call) => store.create(fromCreate(invoice, options), call), ["InvoiceConflict", "IdempotencyKeyReused"]),
      ({ invoice, outcome }) => ({
        outcome: creations[outcome] ?? Messages.malformed(`outcome ${outcome}`),
        stored: Messages.toStored(invoice)
      })
    ),
  decide: (decisions) =>
    Effect.map(
      call((options) => store.decide({ decisions: decisions.map(fromDecision) }, options), []),
      (response) => decisions.map(({ id }, index) => ({ id, outcome: toOutcome(response.outcomes[index]) }))
    )
})

const listRequest = (query: ListQuery): MessageInitShape<typeof ListRequestSchema> => {
  const { currency = "", cursor = "", customerId = "", dueAfter, dueBefore, limit, status } = query
  const { storedAfter, storedBefore } = query
  return {
    currency,
    cursor,
    customerId,
    limit,
    ...(status && { status: Messages.fromStatus(status) }),
    ...(dueAfter && { dueAfter: Messages.fromTimestamp(dueAfter) }),
    ...(dueBefore && { dueBefore: Messages.fromTimestamp(dueBefore) }),
    ...(storedAfter && { storedAfter: Messages.fromTimestamp(storedAfter) }),
    ...(storedBefore && { storedBefore: Messages.fromTimestamp(storedBefore) })
  }
}

const reads = ({ call, invoices, store }: Calls): Pick<Store, "get" | "getMany" | "list" | "history"> => ({
  get: (id) =>
    Effect.map(
      call((options) => invoices.get({ id }, options), ["InvoiceNotFound"]),
      ({ invoice }) => Messages.toStored(invoice)
    ),
  getMany: (ids) => {
    const distinct = [...new Set(ids)]
    const chunks = Array.from({ length: Math.ceil(distinct.length / chunk) }, (_, index) =>
      distinct.slice(index * chunk, (index + 1) * chunk)
    )
    const getChunk = (ids: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<StoredInvoice>, StoreUnavailable> =>
      Effect.map(
        call((options) => store.getMany({ ids: [...ids] }, options), []),
        (response) => response.invoices.map(Messages.toStored)
      )
    return Effect.map(Effect.forEach(chunks, getChunk, { concurrency: 2 }), (found) => found.flat())
  },
  list: (query) =>
    Effect.map(
      call((options) => invoices.list(listRequest(query), options), ["InvalidCursor"]),
      (page) => ({
        items: page.invoices.map(Messages.toStored),
        next: page.nextCursor === "" ? Option.none() : Option.some(page.nextCursor)
      })
    ),
  history: (id) =>
    Effect.map(
      call((options) => invoices.history({ id }, options), ["InvoiceNotFound"]),
      ({ entries }) => entries.map(Messages.toHistoryEntry)
    )
})

const changes = ({ call, store }: Calls): Pick<Store, "changes" | "head"> => ({
  changes: ({ cursor, limit }) =>
    Effect.map(
      call(
        (options) => store.listChanges({ limit, ...(cursor === undefined ? {} : { cursor }) }, options),
        ["InvalidCursor", "CursorExpired"]
      ),
      ({ changes, more, next }) => ({ changes: changes.map(Messages.toChange), more, next })
    ),
  head: Effect.map(
    call((options) => store.head({}, options), []),
    ({ cursor }) => cursor
  )
})

const probes = ({ call, store }: Calls): Pick<Store, "ready" | "writable"> => ({
  ready: Effect.asVoid(call((options) => store.ready({}, options), [])),
  writable: Effect.asVoid(call((options) => store.checkWritable({}, options), []))
})

/** On a transport to a program that serves both services, such as `invoice storage`. */
export const layer = (transport: Transport, options: ClientCalls.Options = {}): Layer.Layer<InvoiceStore> =>
  Layer.sync(InvoiceStore, () => InvoiceStore.of(make(transport, options)))
