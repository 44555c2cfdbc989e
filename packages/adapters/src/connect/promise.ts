/**
 * A client of a running platform for programs that don't use Effect: promises, async iterables and plain data. It runs
 * in browsers, and in Node.js, where it needs only the built-in `fetch`.
 *
 * @example
 * import { createClient } from "@invoice/adapters/connect/promise"
 *
 * const client = createClient({ baseUrl: "http://localhost:8080" })
 * await client.create(await readFile("invoice.json"))
 * for await (const { change } of client.watch()) if (change) console.log(change.id, change.status)
 */
import type { Transport } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-web"
import {
  CursorExpired,
  Document,
  IdempotencyKeyReused,
  InvalidCursor,
  InvalidIdempotencyKey,
  InvalidInvoice,
  Invoice,
  InvoiceConflict,
  InvoiceNotFound,
  StoreUnavailable,
  Timestamp,
  type Violation
} from "@invoice/core"
import type { InvoiceStatus } from "@invoice/core/InvoiceStatus"
import { type Imported as CoreImported, type Watched as CoreWatched, importWith } from "@invoice/core/Invoices"
import type * as Store from "@invoice/core/ports/InvoiceStore"
import { type Validation, validate as validateHere } from "@invoice/core/validate"
import { Cause, Effect, Exit, Option, Record, Result, Stream } from "effect"
import * as Authorization from "./Authorization.ts"
import * as InvoiceClient from "./InvoiceClient.ts"

/** An invoice as the platform keeps it. */
export interface StoredInvoice {
  /** What was handed in, in its canonical form: amounts as exact decimal strings, times in UTC. */
  readonly invoice: Invoice.EncodedInvoice
  readonly status: InvoiceStatus
  /** Counts its changes from 1. */
  readonly version: number
  /** The reasons of the verdict; empty while `Pending`. */
  readonly violations: ReadonlyArray<Violation.Violation>
  /** When the platform took it, RFC 3339 in UTC. */
  readonly storedAt: string
}

/** The result of `create`. */
export interface Created {
  /** False when the same invoice was there already. */
  readonly created: boolean
  readonly invoice: StoredInvoice
}

/** One change in the life of an invoice. */
export interface HistoryEntry {
  readonly version: number
  /** Absent for the creation. */
  readonly from?: InvoiceStatus
  readonly to: InvoiceStatus
  /** RFC 3339 in UTC. */
  readonly at: string
  /** The principal of a creation (`api` when authentication is off), `<profile>@<version>` for a verdict. */
  readonly by: string
  readonly violations: ReadonlyArray<Violation.Violation>
}

/** A change of some invoice, as a watch reports it. */
export interface Change {
  readonly id: string
  readonly status: InvoiceStatus
  readonly version: number
  readonly violations: ReadonlyArray<Violation.Violation>
  /** RFC 3339 in UTC. */
  readonly at: string
}

/** An element of a watch: a change, or a sign of life without one, which carries a newer cursor. */
export interface Watched {
  readonly change?: Change
  /** Resumes the watch right after this element. */
  readonly cursor: string
}

/** The result for one document of an import. */
export interface Imported {
  /** Its place in the source, from 1. */
  readonly line: number
  readonly outcome: "Created" | "Unchanged" | "Failed"
  /** Present when the invoice is stored. */
  readonly id?: string
  /** Why it `Failed`. */
  readonly error?: InvoiceClientError
}

export interface ListQuery {
  readonly status?: InvoiceStatus
  readonly customerId?: string
  /** ISO 4217 alphabetic code. */
  readonly currency?: string
  /** Due at this time or later: RFC 3339 with any offset. With either limit, invoices without a due date are left out. */
  readonly dueAfter?: string
  /** Due earlier than this time. */
  readonly dueBefore?: string
  /** Stored at this time or later. */
  readonly storedAfter?: string
  /** Stored earlier than this time. */
  readonly storedBefore?: string
  /** Number of invoices that one request asks for, 1 to 200; a page of large ones may hold fewer. Default 100. */
  readonly pageSize?: number
}

export interface CallOptions {
  /** Ends the call, which rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface CreateOptions extends CallOptions {
  /**
   * Marks the retries of one request: 1 to 255 visible ASCII characters. A retry within 24 hours gets the first answer,
   * whatever became of the invoice since.
   */
  readonly idempotencyKey?: string
}

export interface WatchOptions extends CallOptions {
  /** Begins right after the element with this cursor. */
  readonly after?: string
  /** Where a watch without a cursor begins: with changes from now on, or with the oldest kept change. Default `now`. */
  readonly from?: "now" | "beginning"
}

/**
 * What went wrong. `InvalidInvoice`: `violations` lists every fault. `InvoiceConflict`: the id is taken by an invoice
 * with other content. `IdempotencyKeyReused`: the key was used for other content. `CursorExpired`: the changes after the cursor are no longer kept. `Unavailable`: the same call
 * may succeed a little later. `Internal`: the same call won't succeed, and `cause` says more.
 */
export type ErrorCode =
  | "InvalidInvoice"
  | "InvoiceNotFound"
  | "InvoiceConflict"
  | "InvalidIdempotencyKey"
  | "IdempotencyKeyReused"
  | "InvalidCursor"
  | "CursorExpired"
  | "Unavailable"
  | "Internal"

/** What every method of a client rejects with. */
export class InvoiceClientError extends Error {
  override readonly name = "InvoiceClientError"
  readonly code: ErrorCode
  /** The faults of the document, when the code is `InvalidInvoice`; else empty. */
  readonly violations: ReadonlyArray<Violation.Violation>

  constructor(code: ErrorCode, message: string, violations: ReadonlyArray<Violation.Violation>, cause: unknown) {
    super(message, { cause })
    this.code = code
    this.violations = violations
  }
}

/**
 * A document is JSON as a text or as bytes in UTF-8, or an object. Amounts are exact in a text, in bytes and in
 * strings.
 */
export interface Client {
  /** Stores an invoice as `Pending`. Idempotent by id and content; with a key, by the key. */
  readonly create: (document: unknown, options?: CreateOptions) => Promise<Created>
  readonly get: (id: string, options?: CallOptions) => Promise<StoredInvoice>
  /** Newest first, page by page as it is read. */
  readonly list: (query?: ListQuery, options?: CallOptions) => AsyncIterable<StoredInvoice>
  /** Oldest first. */
  readonly history: (id: string, options?: CallOptions) => Promise<ReadonlyArray<HistoryEntry>>
  /** Judges a document with the platform's profile; nothing is stored. Resolves with status `Invalid`, too. */
  readonly validate: (document: unknown, options?: CallOptions) => Promise<Validation>
  /**
   * Every change of every invoice until the iteration is left; changes of one invoice in order, none lost and none
   * twice. When the server goes away, the watch waits for it and goes on. An element comes at once and then at least
   * every 15 seconds; it has no change when there is none.
   */
  readonly watch: (options?: WatchOptions) => AsyncIterable<Watched>
  /** Creates the documents that the source yields, up to 64 at a time, and yields the outcome of each in order. */
  readonly import: (
    documents: Iterable<unknown> | AsyncIterable<unknown>,
    options?: CallOptions
  ) => AsyncIterable<Imported>
}

export type Options =
  | {
      /** `http://host:port` or `https://…` of the platform's api, the same as for REST. */
      readonly baseUrl: string
      /** Used instead of the global `fetch`. */
      readonly fetch?: typeof globalThis.fetch
      /** The bearer token to send, where the platform asks for one; a function is asked at each call. */
      readonly token?: Authorization.Token
    }
  | {
      /** A transport of `@connectrpc/connect-web` or `@connectrpc/connect-node`. */
      readonly transport: Transport
    }

const transportOf = (options: Options): Transport => {
  if ("transport" in options) return options.transport
  const { token, ...rest } = options
  const interceptors = token === undefined ? [] : [Authorization.withToken(token)]
  return createConnectTransport({ ...rest, interceptors, useBinaryFormat: true })
}

export const createClient = (options: Options): Client => {
  const invoices = InvoiceClient.make(transportOf(options))

  const create = (input: unknown, { idempotencyKey }: CreateOptions = {}) =>
    Effect.suspend(() => {
      const document = Document.read(input)
      return Result.isFailure(document)
        ? Effect.fail(unreadable(document.failure))
        : invoices.create(document.success, { idempotencyKey })
    })

  const validate = async (input: unknown, options?: CallOptions): Promise<Validation> => {
    const here = validateHere(input)
    if (here.invoice === undefined) {
      options?.signal?.throwIfAborted()
      return here
    }
    const { status, violations } = await run(invoices.validate(here.invoice), options)
    return { status, violations, invoice: here.invoice }
  }

  async function* list(
    { pageSize = 100, ...query }: ListQuery = {},
    options?: CallOptions
  ): AsyncGenerator<StoredInvoice> {
    const { dueAfter, dueBefore, storedAfter, storedBefore, ...filters } = query
    const times = await run(Effect.all(mapTimes({ dueAfter, dueBefore, storedAfter, storedBefore })), options)
    let cursor: string | undefined
    do {
      const page = await run(invoices.list({ ...filters, ...times, limit: pageSize, cursor }), options)
      yield* page.items.map(toStored)
      cursor = Option.getOrUndefined(page.next)
    } while (cursor !== undefined)
  }

  return {
    create: async (document, options) => {
      const { outcome, stored } = await run(create(document, options), options)
      return { created: outcome !== "Unchanged", invoice: toStored(stored) }
    },
    get: async (id, options) => toStored(await run(invoices.get(id), options)),
    list,
    history: async (id, options) => (await run(invoices.history(id), options)).map(toHistoryEntry),
    validate,
    watch: ({ after, from = "now", signal } = {}) =>
      iterate(Stream.map(invoices.watch(after === undefined ? from : { cursor: after }), toWatched), signal),
    import: (documents, options) =>
      iterate(
        Stream.map(importWith((document) => create(document))(fromSource(documents)), toImported),
        options?.signal
      )
  }
}

const unreadable = (violation: Violation.Violation): InvalidInvoice =>
  new InvalidInvoice({ kind: "syntax", violations: [violation] })

type Time = Effect.Effect<Timestamp.Timestamp | undefined, InvalidInvoice>

const mapTimes = <Name extends string>(times: Readonly<Record<Name, string | undefined>>): Record<Name, Time> =>
  Record.map(times, (text, name): Time => {
    const time = text === undefined ? undefined : Timestamp.parse(text)
    return text === undefined || time !== undefined
      ? Effect.succeed(time)
      : Effect.fail(unreadable(notATime(`/${name}`, text)))
  })

const notATime = (path: string, actual: string): Violation.Violation => ({
  code: "INV-DATE",
  severity: "error",
  path,
  message: "is not a time that exists",
  expected: "RFC 3339, such as 2025-06-30T00:00:00Z",
  actual
})

const run = async <A>(effect: Effect.Effect<A, unknown>, { signal }: CallOptions = {}): Promise<A> => {
  signal?.throwIfAborted()
  const exit = await Effect.runPromiseExit(effect, signal === undefined ? {} : { signal })
  if (Exit.isSuccess(exit)) {
    return exit.value
  }
  signal?.throwIfAborted()
  throw toError(Cause.squash(exit.cause))
}

async function* iterate<A>(stream: Stream.Stream<A, unknown>, signal: AbortSignal | undefined): AsyncGenerator<A> {
  signal?.throwIfAborted()
  const iterator = Stream.toAsyncIterable(stream)[Symbol.asyncIterator]()
  const end = (): void => void iterator.return?.()
  signal?.addEventListener("abort", end, { once: true })
  try {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      yield next.value
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof SourceFailure ? error.cause : toError(error)
  } finally {
    signal?.removeEventListener("abort", end)
    await iterator.return?.()
  }
  signal?.throwIfAborted()
}

/** Carries an error that the source of an import throws to the reader of the outcomes. */
class SourceFailure extends Error {}

const fromSource = (documents: Iterable<unknown> | AsyncIterable<unknown>): Stream.Stream<unknown, SourceFailure> =>
  Stream.fromAsyncIterable(
    (async function* () {
      yield* documents
    })(),
    (cause) => new SourceFailure("the source of the import failed", { cause })
  )

const toError = (error: unknown): InvoiceClientError => {
  if (error instanceof InvoiceClientError) {
    return error
  }
  if (error instanceof StoreUnavailable) {
    const reason = error.cause instanceof Error ? `: ${error.cause.message}` : ""
    return error.retryable
      ? new InvoiceClientError("Unavailable", `the platform is not available${reason}`, [], error.cause)
      : new InvoiceClientError("Internal", `the platform can't answer${reason}`, [], error.cause)
  }
  for (const known of [
    InvoiceNotFound,
    InvoiceConflict,
    InvalidIdempotencyKey,
    IdempotencyKeyReused,
    InvalidCursor,
    CursorExpired
  ]) {
    if (error instanceof known) return new InvoiceClientError(error._tag, error.message, [], error)
  }
  return error instanceof InvalidInvoice
    ? new InvoiceClientError(error._tag, error.message, error.violations, error)
    : new InvoiceClientError("Internal", error instanceof Error ? error.message : String(error), [], error)
}

const toStored = ({ invoice, status, storedAt, version, violations }: Store.StoredInvoice): StoredInvoice => ({
  invoice: Invoice.encode(invoice),
  status,
  version,
  violations,
  storedAt
})

const toHistoryEntry = ({ from, ...entry }: Store.HistoryEntry): HistoryEntry => ({
  ...entry,
  ...(Option.isSome(from) && { from: from.value })
})

const toWatched = ({ change, cursor }: CoreWatched): Watched => {
  if (Option.isNone(change)) {
    return { cursor }
  }
  const { at, id, status, version, violations } = change.value
  return { change: { id, status, version, violations, at }, cursor }
}

const toImported = ({ line, result }: CoreImported): Imported =>
  Result.match(result, {
    onFailure: (error): Imported => ({ line, outcome: "Failed", error: toError(error) }),
    onSuccess: ({ id, outcome }): Imported => ({ line, outcome, id })
  })
