/** The use cases of whoever has invoices: hand one in, ask for one. */
import { Context, Effect, Layer, Option, Result, Tracer } from "effect"
import * as Invoice from "./Invoice.ts"
import { InvalidInvoice, type InvoiceConflict, type InvoiceNotFound, type StoreUnavailable } from "./InvoiceError.ts"
import { type Creation, type HistoryEntry, InvoiceStore, type StoredInvoice } from "./ports/InvoiceStore.ts"

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
    ) => Effect.Effect<Creation, InvalidInvoice | InvoiceConflict | StoreUnavailable>
    /** @param pointer JSON pointer of the id within what the client sent */
    readonly get: (
      id: unknown,
      pointer?: string
    ) => Effect.Effect<StoredInvoice, InvalidInvoice | InvoiceNotFound | StoreUnavailable>
    /** @param pointer JSON pointer of the id within what the client sent */
    readonly history: (
      id: unknown,
      pointer?: string
    ) => Effect.Effect<ReadonlyArray<HistoryEntry>, InvalidInvoice | InvoiceNotFound | StoreUnavailable>
  }
>()("@invoice/core/Invoices") {
  static readonly layer: Layer.Layer<Invoices, never, InvoiceStore> = Layer.effect(
    Invoices,
    Effect.gen(function* () {
      const store = yield* InvoiceStore
      return Invoices.of({
        create: (document, options) => {
          const parsed = Invoice.parse(document, options)
          return Result.isFailure(parsed)
            ? Effect.fail(parsed.failure)
            : Effect.flatMap(traceparent, (traceparent) => store.create(parsed.success, { traceparent }))
        },
        get: (id, pointer = "/id") => Effect.flatMap(parseId(id, pointer), store.get),
        history: (id, pointer = "/id") => Effect.flatMap(parseId(id, pointer), store.history)
      })
    })
  )
}

const parseId = (id: unknown, path: string): Effect.Effect<Invoice.InvoiceId, InvalidInvoice> => {
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

/** W3C Trace Context of the span around, if there is one. */
const traceparent = Effect.map(
  Effect.serviceOption(Tracer.ParentSpan),
  Option.match({
    onNone: () => undefined,
    onSome: (span) => `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`
  })
)
