/**
 * The use cases (`Invoices`) of another program, over its public `InvoiceService`: what a client application uses.
 *
 * Documents are parsed here first, so that faults are found without a call and amounts travel exactly.
 */
import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-web"
import {
  IdempotencyKey,
  ImportTurns,
  type Invoice,
  InvoiceParser,
  Invoices,
  type StoreUnavailable
} from "@invoice/core"
import { importWith, parseId, type Watched, type WatchStart, withId } from "@invoice/core/Invoices"
import type { Creation } from "@invoice/core/ports/InvoiceStore"
import { Effect, Layer, Option, Schedule, Stream } from "effect"
import * as Authorization from "./Authorization.ts"
import * as ClientCalls from "./ClientCalls.ts"
import * as Errors from "./Errors.ts"
import { type CreateResponse, InvoiceService, type WatchResponse } from "./gen/invoice/v1/invoice_service_pb.ts"
import * as Messages from "./Messages.ts"
import * as StoreClient from "./StoreClient.ts"

const toWatched = ({ change, cursor }: WatchResponse): Watched => ({
  change: Option.map(Option.fromUndefinedOr(change), Messages.toChange),
  cursor
})

const watchRequest = (start: WatchStart) =>
  start === "now"
    ? {}
    : start === "beginning"
      ? { start: { case: "fromBeginning" as const, value: true } }
      : { start: { case: "cursor" as const, value: start.cursor } }

/** How long a watch waits before it calls the server again after a lost connection. */
const backOff = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")]).pipe(Schedule.jittered)

type Service = Invoices["Service"]

interface Calls {
  readonly client: Client<typeof InvoiceService>
  readonly call: ClientCalls.Caller<StoreUnavailable>
}

export const make = (transport: Transport, options: ClientCalls.Options = {}): Invoices["Service"] => {
  const client = createClient(InvoiceService, transport)
  const call = ClientCalls.caller(Errors.serverUnavailable, options)
  const store = StoreClient.make(transport, options)
  return {
    ...documents({ client, call }),
    get: (id, pointer = "/id") =>
      Effect.map(
        Effect.flatMap(parseId(id, pointer), (id) =>
          call((options) => client.get({ id }, options), ["InvalidInvoice", "InvoiceNotFound"])
        ),
        ({ invoice }) => Messages.toStored(invoice)
      ),
    list: store.list,
    history: (id, pointer = "/id") => Effect.flatMap(parseId(id, pointer), store.history),
    watch: (start) => watch(client, start)
  }
}

/** A server answers the retry of a creation like the creation, so no client can tell `Replayed` from `Created`. */
const toCreation = ({ created, invoice }: CreateResponse): Creation => ({
  outcome: created ? "Created" : "Unchanged",
  stored: Messages.toStored(invoice)
})

/** What takes documents. */
const documents = ({ call, client }: Calls): Pick<Service, "create" | "validate" | "importAll" | "importEach"> => {
  const create: Service["create"] = (document, options = {}) =>
    Effect.gen(function* () {
      const { document: identified } = yield* withId(document, options)
      const { idempotencyKey } = options
      // refused here as well: a header can't hold every text
      yield* idempotencyKey === undefined ? Effect.void : Effect.fromResult(IdempotencyKey.parse(idempotencyKey))
      return yield* parsed(identified, options, (invoice) =>
        Effect.map(
          call(
            (call) =>
              client.create(
                { invoice: Messages.fromInvoice(invoice) },
                idempotencyKey === undefined
                  ? call
                  : { ...call, headers: { ...call.headers, "idempotency-key": idempotencyKey } }
              ),
            ["InvalidInvoice", "InvalidIdempotencyKey", "InvoiceConflict", "IdempotencyKeyReused"]
          ),
          toCreation
        )
      )
    })
  const importEach = ImportTurns.make()
  return {
    create,
    importEach,
    validate: (document, options) =>
      parsed(document, options, (invoice) =>
        Effect.map(
          call((options) => client.validate({ invoice: Messages.fromInvoice(invoice) }, options), ["InvalidInvoice"]),
          Messages.toVerdict
        )
      ),
    importAll: importWith(create, importEach)
  }
}

const parsed = <A, E>(
  document: unknown,
  options: { readonly pointer?: string | undefined } | undefined,
  use: (invoice: Invoice.Invoice) => Effect.Effect<A, E>
) => Effect.flatMap(Effect.fromResult(InvoiceParser.parse(document, options)), use)

/** Calls again after a lost connection, from where the last call ended. */
const watch = (client: Calls["client"], start: WatchStart): ReturnType<Service["watch"]> =>
  Stream.suspend(() => {
    let from = start
    return Stream.suspend(() => watchOnce(client, from)).pipe(
      Stream.tap(({ cursor }) => {
        from = { cursor }
        return Effect.void
      }),
      Stream.retry(
        backOff.pipe(
          Schedule.setInputType<Stream.Error<ReturnType<typeof watchOnce>>>(),
          Schedule.while(({ input }) => input._tag === "StoreUnavailable" && input.retryable)
        )
      )
    )
  })

/** One call of a watch, which ends when the server goes away. */
const watchOnce = (client: Calls["client"], start: WatchStart) =>
  Stream.unwrap(
    Effect.map(ClientCalls.signal, (signal) =>
      Stream.fromAsyncIterable(client.watch(watchRequest(start), { signal }), (error) =>
        ClientCalls.fromConnect(ConnectError.from(error), ["InvalidCursor", "CursorExpired"], Errors.serverUnavailable)
      )
    )
  ).pipe(Stream.map(toWatched))

/** On a transport of your own. */
export const layer = (transport: Transport, options: ClientCalls.Options = {}): Layer.Layer<Invoices> =>
  Layer.sync(Invoices, () => make(transport, options))

/** Over `fetch`, in a browser or in any other runtime that has it. */
export const layerFetch = ({
  baseUrl,
  token,
  ...options
}: ClientCalls.Options & { readonly baseUrl: string; readonly token?: Authorization.Token }): Layer.Layer<Invoices> =>
  layer(
    createConnectTransport({
      baseUrl,
      useBinaryFormat: true,
      interceptors: token === undefined ? [] : [Authorization.withToken(token)]
    }),
    options
  )
