/** `invoice.v1.InvoiceService`: the use cases as calls. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { Timestamp as WireTimestamp } from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { InvalidInvoice, Invoices, Timestamp } from "@invoice/core"
import type { CreateError, Imported, WatchStart } from "@invoice/core/Invoices"
import type { ListQuery } from "@invoice/core/ports/InvoiceStore"
import { Effect, Option, Result, Stream } from "effect"
import * as Errors from "./Errors.ts"
import {
  type ImportRequest,
  type ImportResponseSchema,
  InvoiceService,
  type ListRequest,
  type WatchRequest
} from "./gen/invoice/v1/invoice_service_pb.ts"
import * as Messages from "./Messages.ts"
import type { ServerCalls } from "./ServerCalls.ts"
import * as StrictJson from "./StrictJson.ts"

/** Maximum number of bytes of one request message. */
const maxBytes = 1_048_576

const defaultLimit = 50
const maxLimit = 200

const listQuery = Effect.fnUntraced(function* (request: ListRequest): Effect.fn.Return<ListQuery, InvalidInvoice> {
  const { currency, cursor, customerId, limit, status } = request
  return {
    status: Messages.toStatus(status),
    customerId: customerId === "" ? undefined : customerId,
    currency: currency === "" ? undefined : currency,
    dueAfter: yield* time(request.dueAfter, "/due_after"),
    dueBefore: yield* time(request.dueBefore, "/due_before"),
    storedAfter: yield* time(request.storedAfter, "/stored_after"),
    storedBefore: yield* time(request.storedBefore, "/stored_before"),
    limit: limit === 0 ? defaultLimit : Math.min(limit, maxLimit),
    cursor: cursor === "" ? undefined : cursor
  }
})

/** A message can hold times that RFC 3339 can't: outside of the years 0001 to 9999, or with too many nanoseconds. */
const time = (
  wire: WireTimestamp | undefined,
  path: string
): Effect.Effect<Timestamp.Timestamp | undefined, InvalidInvoice> => {
  const actual = Messages.timestampText(wire)
  const parsed = actual === undefined ? undefined : Timestamp.parse(actual)
  if (actual === undefined || parsed !== undefined) {
    return Effect.succeed(parsed)
  }
  const message = "is not a time in the years 0001 to 9999"
  return Effect.fail(
    new InvalidInvoice({
      kind: "meaning",
      violations: [{ code: "INV-DATE", severity: "error", path, message, actual }]
    })
  )
}

const watchStart = ({ start }: WatchRequest): WatchStart =>
  start.case === "cursor"
    ? { cursor: start.value }
    : start.case === "fromBeginning" && start.value
      ? "beginning"
      : "now"

type Outcome = NonNullable<MessageInitShape<typeof ImportResponseSchema>["outcome"]>

const failure = (id: string, error: CreateError): Outcome => {
  const connectError = Errors.toConnect(error)
  return {
    case: "failure",
    value: {
      id,
      code: Errors.codeName(connectError?.code ?? Code.Internal),
      message: connectError?.rawMessage ?? "something went wrong on our side",
      violations: error._tag === "InvalidInvoice" ? error.violations.map(Messages.fromViolation) : []
    }
  }
}

const importResponse = (id: string, { line, result }: Imported): MessageInitShape<typeof ImportResponseSchema> => {
  return {
    line: BigInt(line),
    outcome: Result.match(result, {
      onFailure: (error): Outcome => failure(id, error),
      onSuccess: ({ id, outcome }): Outcome => ({
        case: outcome === "Created" ? "created" : "unchanged",
        value: { id }
      })
    })
  }
}

/**
 * The answers to a stream of requests. When a request can't be read they end with the reason. Node.js aborts the call
 * as well, so without this function the client would get the error that it has canceled the call.
 */
async function* answers<Request, Response>(
  requests: AsyncIterable<Request>,
  answer: (requests: AsyncIterable<Request>) => AsyncIterable<Response>
): AsyncGenerator<Response> {
  let reading: Promise<unknown> = Promise.resolve()
  let unreadable: ConnectError | undefined
  const iterator = requests[Symbol.asyncIterator]()
  const next = (): Promise<IteratorResult<Request>> => {
    const result = iterator.next()
    reading = result.catch((error: unknown) => {
      unreadable = ConnectError.from(error)
    })
    return result
  }
  try {
    yield* answer({
      [Symbol.asyncIterator]: () => ({
        next,
        return: async () => (await iterator.return?.()) ?? { done: true, value: undefined }
      })
    })
  } catch (error) {
    if (ConnectError.from(error).code === Code.Canceled) await reading
    throw unreadable ?? error
  }
  if (unreadable !== undefined) throw unreadable
}

const importAll = (invoices: Invoices["Service"], requests: AsyncIterable<ImportRequest>) => {
  // the ids of the invoices in hand, in the order of their lines
  const ids: Array<string> = []
  return invoices
    .importAll(
      Stream.fromAsyncIterable(requests, (error) => error).pipe(
        Stream.map(({ invoice }) => {
          ids.push(invoice?.id ?? "")
          return Messages.toDocument(invoice)
        }),
        // the requests broke off, and `answers` reports why
        Stream.catch(() => Stream.empty)
      ),
      { pointer: "/invoice" }
    )
    .pipe(Stream.map((imported) => importResponse(ids.shift() ?? "", imported)))
}

export const routes = (calls: ServerCalls): Effect.Effect<(router: ConnectRouter) => void, never, Invoices> =>
  Effect.map(Invoices, (invoices) => (router) => {
    const serve = StrictJson.register(router, { readMaxBytes: maxBytes })
    serve(InvoiceService.method.create, ({ invoice }, context) =>
      calls.unary(
        context,
        Effect.map(
          invoices.create(Messages.toDocument(invoice), {
            pointer: "/invoice",
            idempotencyKey: context.requestHeader.get("idempotency-key") ?? undefined
          }),
          ({ outcome, stored }) => ({ invoice: Messages.fromStored(stored), created: outcome !== "Unchanged" })
        )
      )
    )
    serve(InvoiceService.method.get, ({ id }, context) =>
      calls.unary(
        context,
        Effect.map(invoices.get(id === "" ? undefined : id), (stored) => ({ invoice: Messages.fromStored(stored) }))
      )
    )
    serve(InvoiceService.method.list, (request, context) =>
      calls.unary(
        context,
        Effect.map(Effect.flatMap(listQuery(request), invoices.list), ({ items, next }) => ({
          invoices: items.map(Messages.fromStored),
          nextCursor: Option.getOrElse(next, () => "")
        }))
      )
    )
    serve(InvoiceService.method.history, ({ id }, context) =>
      calls.unary(
        context,
        Effect.map(invoices.history(id === "" ? undefined : id), (entries) => ({
          entries: entries.map(Messages.fromHistoryEntry)
        }))
      )
    )
    serve(InvoiceService.method.validate, ({ invoice }, context) =>
      calls.unary(
        context,
        Effect.map(invoices.validate(Messages.toDocument(invoice), { pointer: "/invoice" }), (verdict) => ({
          status: Messages.fromStatus(verdict.status),
          violations: verdict.violations.map(Messages.fromViolation),
          by: verdict.by
        }))
      )
    )
    serve(InvoiceService.method.watch, (request, context) =>
      calls.watch(
        context,
        Stream.map(invoices.watch(watchStart(request)), ({ change, cursor }) => ({
          change: Option.getOrUndefined(Option.map(change, Messages.fromChange)),
          cursor
        }))
      )
    )
    serve(InvoiceService.method.import, (requests, context) =>
      answers(requests, (readable) => calls.import(context, importAll(invoices, readable)))
    )
  })
