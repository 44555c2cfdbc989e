/** The use cases of clients: create one or many invoices, validate one, read and list them, watch their changes. */
import { Clock, Context, Effect, Layer, Result, Stream } from "effect"
import { isFields } from "../domain/FieldReader.ts"
import * as IdempotencyKey from "../domain/IdempotencyKey.ts"
import * as Invoice from "../domain/Invoice.ts"
import {
  type CursorExpired,
  type IdempotencyKeyReused,
  type InvalidCursor,
  type InvalidIdempotencyKey,
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
import { paced } from "./Allowance.ts"
import * as ImportTurns from "./ImportTurns.ts"
import { Principal } from "./Principal.ts"
import * as RequestHash from "./RequestHash.ts"
import * as Traceparent from "./Traceparent.ts"
import type { Watched, WatchStart } from "./WatchInvoices.ts"
import * as WatchInvoices from "./WatchInvoices.ts"

export type CreateError =
  | InvalidInvoice
  | InvalidIdempotencyKey
  | InvoiceConflict
  | IdempotencyKeyReused
  | StoreUnavailable

export interface CreateOptions {
  /** JSON pointer of the document within what the client sent, such as `/invoice`. */
  readonly pointer?: string | undefined
  /** The value of the header `Idempotency-Key`, with or without quotes; see `IdempotencyKey.parse`. */
  readonly idempotencyKey?: string | undefined
  /**
   * Whether a document without `id` gets a new UUIDv7; otherwise its id is missing. Default false. A client over RPC makes
   * the id before it sends the document, so a retry with a key needs an id of its own there.
   */
  readonly generateId?: boolean | undefined
}

export type { Watched, WatchStart }

/** What became of one document of an import. */
export interface Imported {
  /** Its place in the stream, from 1. */
  readonly line: number
  readonly result: Result.Result<
    { readonly id: Invoice.InvoiceId; readonly outcome: Exclude<Creation["outcome"], "Replayed"> },
    CreateError
  >
}

export class Invoices extends Context.Service<
  Invoices,
  {
    /**
     * Parses a document and stores the invoice as `Pending`, with its event, in the name of the current `Principal`.
     * Idempotent by id and content; with an idempotency key, by the key: see `InvoiceStore.create`.
     */
    readonly create: (document: unknown, options?: CreateOptions) => Effect.Effect<Creation, CreateError>
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
     * Creates any number of invoices, and answers each outcome in the order of the documents. Takes documents from the
     * source only as fast as it creates the invoices: up to 64 at a time, which all imports share, see `importEach`.
     */
    readonly importAll: <E, R>(
      documents: Stream.Stream<unknown, E, R>,
      options?: { readonly pointer?: string }
    ) => Stream.Stream<Imported, E, R>
    /** Runs over the items of an import when it is their turn among those of all imports: what `importAll` is made of. */
    readonly importEach: ImportTurns.ImportTurns
  }
>()("@invoice/core/Invoices") {
  static readonly layer: Layer.Layer<Invoices, never, InvoiceStore | InvoiceValidator> = Layer.effect(
    Invoices,
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      const validator = yield* InvoiceValidator
      const watch = yield* WatchInvoices.make(store)
      const create = createWith(store)
      const importEach = ImportTurns.make()
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
        importAll: importWith(create, importEach),
        importEach
      })
    })
  )
}

const createWith = (store: InvoiceStore["Service"]): Invoices["Service"]["create"] =>
  Effect.fnUntraced(function* (document: unknown, options: CreateOptions = {}) {
    const { document: identified, idGenerated } = yield* withId(document, options)
    const invoice = yield* Effect.fromResult(InvoiceParser.parse(identified, options))
    const by = yield* Principal
    const traceparent = yield* Traceparent.current
    if (options.idempotencyKey === undefined) {
      return yield* store.create(invoice, { traceparent, by })
    }
    const key = yield* Effect.fromResult(IdempotencyKey.parse(options.idempotencyKey))
    const hash = yield* RequestHash.of(invoice, { idGenerated })
    return yield* store.create(invoice, { traceparent, by, idempotency: { key, principal: by, hash } })
  })

/** The document, with a new id if it has none and may do so. */
export const withId = (
  document: unknown,
  { generateId = false }: Pick<CreateOptions, "generateId">
): Effect.Effect<{ readonly document: unknown; readonly idGenerated: boolean }> =>
  generateId && isFields(document) && (document["id"] === undefined || document["id"] === null)
    ? Effect.map(Clock.currentTimeMillis, (millis) => ({
        document: { ...document, id: Invoice.generateId(millis) },
        idGenerated: true
      }))
    : Effect.succeed({ document, idGenerated: false })

/** Makes an import from a function that creates one invoice, and the turns that it shares with other imports. */
export const importWith =
  (
    create: Invoices["Service"]["create"],
    importEach: ImportTurns.ImportTurns = ImportTurns.make()
  ): Invoices["Service"]["importAll"] =>
  (documents, options) =>
    importEach(Stream.zipWithIndex(paced(documents)), ([document, index]) =>
      create(document, options).pipe(
        Effect.map(({ outcome, stored }) => ({
          id: stored.invoice.id,
          // no document of an import has a key
          outcome: outcome === "Replayed" ? ("Created" as const) : outcome
        })),
        Effect.result,
        Effect.map((result): Imported => ({ line: index + 1, result }))
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
