/** The use cases of clients: create one or many invoices, validate one, read and list them, watch their changes. */
import { Context, Effect, Layer, Result, Stream } from "effect"
import * as Invoice from "../domain/Invoice.ts"
import {
  type CursorExpired,
  type InvalidCursor,
  InvalidInvoice,
  type InvoiceConflict,
  type InvoiceNotFound,
  type StoreUnavailable
} from "../domain/InvoiceError.ts"
import * as InvoiceParser from "../domain/InvoiceParser.ts"
import type { Verdict } from "../domain/Verdict.ts"
import {
  type Creation,
  type HistoryEntry,
  InvoiceStore,
  type ListQuery,
  type Page,
  type StoredInvoice
} from "../ports/InvoiceStore.ts"
import { InvoiceValidator } from "../ports/InvoiceValidator.ts"
import * as Traceparent from "./Traceparent.ts"
import type { Watched, WatchStart } from "./WatchInvoices.ts"
import * as WatchInvoices from "./WatchInvoices.ts"

export type CreateError = InvalidInvoice | InvoiceConflict | StoreUnavailable

export type { Watched, WatchStart }

/** What became of one document of an import. */
export interface Imported {
  /** Its place in the stream, from 1. */
  readonly line: number
  readonly result: Result.Result<{ readonly id: Invoice.InvoiceId; readonly outcome: Creation["outcome"] }, CreateError>
}

export class Invoices extends Context.Service<
  Invoices,
  {
    /**
     * Parses a document and stores the invoice as `Pending`, with its event. Idempotent by id and content.
     *
     * @param options.pointer JSON pointer of the document within what the client sent, such as `/invoice`
     */
    readonly create: (
      document: unknown,
      options?: { readonly pointer?: string }
    ) => Effect.Effect<Creation, CreateError>
    /** @param pointer JSON pointer of the id within what the client sent */
    readonly get: (
      id: unknown,
      pointer?: string
    ) => Effect.Effect<StoredInvoice, InvalidInvoice | InvoiceNotFound | StoreUnavailable>
    readonly list: (query: ListQuery) => Effect.Effect<Page, InvalidCursor | StoreUnavailable>
    /** @param pointer JSON pointer of the id within what the client sent */
    readonly history: (
      id: unknown,
      pointer?: string
    ) => Effect.Effect<ReadonlyArray<HistoryEntry>, InvalidInvoice | InvoiceNotFound | StoreUnavailable>
    /** The verdict that a document would get; nothing is stored. */
    readonly validate: (
      document: unknown,
      options?: { readonly pointer?: string }
    ) => Effect.Effect<Verdict, InvalidInvoice | StoreUnavailable>
    /**
     * Every change of every invoice, until interrupted. The changes of one invoice come in order; none is lost or
     * repeated, also across a resume. A sign of life comes at least every 15 seconds.
     */
    readonly watch: (start: WatchStart) => Stream.Stream<Watched, InvalidCursor | CursorExpired | StoreUnavailable>
    /**
     * Creates any number of invoices, up to 64 at a time, and answers each outcome in the order of the documents. Takes
     * documents from the source only as fast as it creates the invoices.
     */
    readonly importAll: <E, R>(
      documents: Stream.Stream<unknown, E, R>,
      options?: { readonly pointer?: string }
    ) => Stream.Stream<Imported, E, R>
  }
>()("@invoice/core/Invoices") {
  static readonly layer: Layer.Layer<Invoices, never, InvoiceStore | InvoiceValidator> = Layer.effect(
    Invoices,
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      const validator = yield* InvoiceValidator
      const watch = yield* WatchInvoices.make(store)
      const create: Invoices["Service"]["create"] = (document, options) => {
        const parsed = InvoiceParser.parse(document, options)
        return Result.isFailure(parsed)
          ? Effect.fail(parsed.failure)
          : Effect.flatMap(Traceparent.current, (traceparent) => store.create(parsed.success, { traceparent }))
      }
      return Invoices.of({
        create,
        get: (id, pointer = "/id") => Effect.flatMap(parseId(id, pointer), store.get),
        list: store.list,
        history: (id, pointer = "/id") => Effect.flatMap(parseId(id, pointer), store.history),
        validate: (document, options) => {
          const parsed = InvoiceParser.parse(document, options)
          return Result.isFailure(parsed) ? Effect.fail(parsed.failure) : validator.judge(parsed.success)
        },
        watch,
        importAll: importWith(create)
      })
    })
  )
}

/** Creations of an import at once: enough to fill the store's batches. */
const importConcurrency = 64

/** Makes an import from a function that creates one invoice. */
export const importWith =
  (create: Invoices["Service"]["create"]): Invoices["Service"]["importAll"] =>
  (documents, options) =>
    documents.pipe(
      Stream.zipWithIndex,
      Stream.mapEffect(
        ([document, index]) =>
          create(document, options).pipe(
            Effect.map(({ outcome, stored }) => ({ id: stored.invoice.id, outcome })),
            Effect.result,
            Effect.map((result): Imported => ({ line: index + 1, result }))
          ),
        { concurrency: importConcurrency }
      )
    )

export const parseId = (id: unknown, path: string): Effect.Effect<Invoice.InvoiceId, InvalidInvoice> => {
  const parsed = typeof id === "string" ? Invoice.parseId(id) : undefined
  if (parsed !== undefined) {
    return Effect.succeed(parsed)
  }
  const [code, message] =
    id === undefined || id === null
      ? ["INV-MISSING", "id is missing"]
      : typeof id === "string"
        ? ["INV-UUID", "is not a UUID"]
        : ["INV-TYPE", "must be a string"]
  return Effect.fail(
    new InvalidInvoice({
      kind: code === "INV-UUID" ? "meaning" : "syntax",
      violations: [{ code, severity: "error", path, message }]
    })
  )
}
