/**
 * The port to the store of invoices. Every change is written together with its history and its outbox event, in one
 * transaction: either all of it is there afterwards or nothing is.
 *
 * Times are by the store's clock. The caller has to keep a limit within its range, where every adapter serves it.
 * Outside, an adapter may clamp it or fail, and nothing is promised.
 *
 * Adapters prove themselves with `InvoiceStoreContract` of `@invoice/testing`.
 */
import { Context, type Effect, type Option } from "effect"
import type { Invoice, InvoiceId } from "../domain/Invoice.ts"
import type {
  CursorExpired,
  IdempotencyKeyReused,
  InvalidCursor,
  InvoiceConflict,
  InvoiceNotFound,
  StoreUnavailable
} from "../domain/InvoiceError.ts"
import type { InvoiceChange } from "../domain/InvoiceEvent.ts"
import type { InvoiceStatus } from "../domain/InvoiceStatus.ts"
import type { Timestamp } from "../domain/Timestamp.ts"
import type { Verdict } from "../domain/Verdict.ts"
import type { Violation } from "../domain/Violation.ts"

export interface StoredInvoice {
  readonly invoice: Invoice
  readonly status: InvoiceStatus
  /** Counts the changes from 1; the version of the last event and the ETag. */
  readonly version: number
  /** The reasons of the verdict; empty while `Pending`. */
  readonly violations: ReadonlyArray<Violation>
  /** When the store took it, by the store's clock (the client's `createdAt` is the client's). */
  readonly storedAt: Timestamp
}

export interface HistoryEntry {
  readonly version: number
  /** None for the creation. */
  readonly from: Option.Option<InvoiceStatus>
  readonly to: InvoiceStatus
  readonly at: Timestamp
  /** Who did it: the principal of a creation (`CreateOptions.by`), `<profile>@<version>` for a verdict. */
  readonly by: string
  readonly violations: ReadonlyArray<Violation>
}

/**
 * `Created`: the invoice is new. `Unchanged`: it was there, with the same content, and nothing was written. `Replayed`:
 * an earlier request with the same idempotency key created it; `stored` is what that request was answered, whatever
 * became of the invoice since. A client must not see the difference between `Created` and `Replayed`.
 */
export interface Creation {
  readonly outcome: "Created" | "Unchanged" | "Replayed"
  readonly stored: StoredInvoice
}

/** What makes the retries of one request one request. */
export interface Idempotency {
  /** The client's name for the request: 1 to 255 visible ASCII characters. */
  readonly key: string
  /** Whose key it is: the same key of another principal is another key. At most 255 characters. */
  readonly principal: string
  /** SHA-256 of what the client asked for, 64 hexadecimal digits in lower case. */
  readonly hash: string
}

export interface CreateOptions {
  /** W3C `traceparent` to carry with the event. Without one the event has none. */
  readonly traceparent?: string | undefined
  /** Who creates it, for the history; default `api`. */
  readonly by?: string | undefined
  /**
   * The key is stored in the transaction of the invoice and its event, and kept for the time that the store is set to
   * (24 hours by default). A request that fails leaves its key free.
   */
  readonly idempotency?: Idempotency | undefined
}

/** A verdict to apply to an invoice that has not changed since it was judged. */
export interface Decision {
  readonly id: InvoiceId
  /** The version that was judged (compare and set): a verdict on another version is never applied. */
  readonly version: number
  readonly verdict: Verdict
  /** As for a creation. */
  readonly traceparent?: string | undefined
}

/**
 * What became of a decision. `Decided`: applied. `AlreadyFinal`: the invoice had its verdict, nothing was written.
 * `Stale`: it is pending with another version. `NotFound`: there is no such invoice.
 */
export interface Decided {
  readonly id: InvoiceId
  readonly outcome: "Decided" | "AlreadyFinal" | "Stale" | "NotFound"
}

/** What a list holds: the invoices that meet every filter given. */
export interface ListQuery {
  readonly status?: InvoiceStatus | undefined
  readonly customerId?: string | undefined
  readonly currency?: string | undefined
  /** Due at this time or later. With either limit of the due date, an invoice without a due date is not listed. */
  readonly dueAfter?: Timestamp | undefined
  /** Due earlier than this time. */
  readonly dueBefore?: Timestamp | undefined
  /** Stored at this time or later (`StoredInvoice.storedAt`). */
  readonly storedAfter?: Timestamp | undefined
  /** Stored earlier than this time. */
  readonly storedBefore?: Timestamp | undefined
  /** 1 to 200. A page is full as long as there are enough invoices and they fit into `maxPageBytes`. */
  readonly limit: number
  /** Where the page before ended: `Page.next`. Go on with the same filters. */
  readonly cursor?: string | undefined
}

/**
 * Maximum bytes of the invoices of one page, as JSON in UTF-8 (`Invoice.encode` and the violations). A page that would
 * be larger ends earlier, with a cursor. It holds at least one invoice, however large.
 */
export const maxPageBytes = 4_000_000

export interface Page {
  /** Newest first: in the reverse of the order in which the store took them, whatever the filters. */
  readonly items: ReadonlyArray<StoredInvoice>
  /** Opaque, owned by the adapter, valid for ever; none on the last page. New invoices don't shift the pages. */
  readonly next: Option.Option<string>
}

/** A change of some invoice, as its event reports it. */
export interface Change extends InvoiceChange {
  /** Opaque, owned by the adapter: resumes right behind this change. */
  readonly cursor: string
}

export interface ChangesPage {
  readonly changes: ReadonlyArray<Change>
  /** Where to read on, also after an empty page. */
  readonly next: string
  /** Whether more changes were waiting when the page was read: then there is no need to wait. */
  readonly more: boolean
}

export class InvoiceStore extends Context.Service<
  InvoiceStore,
  {
    /**
     * Idempotent by id and content, to the last digit, character and nanosecond: the same invoice again is `Unchanged`,
     * other content under a known id is a conflict.
     *
     * With an idempotency key a request whose key and hash are known is answered as the first one was: `Replayed`, or
     * `Unchanged` with the invoice as it was then. A known key with another hash is `IdempotencyKeyReused`. While another
     * request with the key is under way, it is waited for.
     */
    readonly create: (
      invoice: Invoice,
      options?: CreateOptions
    ) => Effect.Effect<Creation, InvoiceConflict | IdempotencyKeyReused | StoreUnavailable>
    readonly get: (id: InvoiceId) => Effect.Effect<StoredInvoice, InvoiceNotFound | StoreUnavailable>
    /** The invoices with these ids that exist, each once, in no promised order; at most 5,000 ids. */
    readonly getMany: (ids: ReadonlyArray<InvoiceId>) => Effect.Effect<ReadonlyArray<StoredInvoice>, StoreUnavailable>
    readonly list: (query: ListQuery) => Effect.Effect<Page, InvalidCursor | StoreUnavailable>
    /** Oldest first; there is at least the creation. */
    readonly history: (id: InvoiceId) => Effect.Effect<ReadonlyArray<HistoryEntry>, InvoiceNotFound | StoreUnavailable>
    /**
     * Applies a batch of verdicts and writes their events, in one transaction. There is one outcome for each decision,
     * as if they were applied one after the other: of several decisions on one invoice the first that judged its
     * version wins. At most 10,000.
     */
    readonly decide: (decisions: ReadonlyArray<Decision>) => Effect.Effect<ReadonlyArray<Decided>, StoreUnavailable>
    /**
     * The changes behind a cursor, or from the oldest that is kept: every committed change once, the changes of one
     * invoice in the order of its versions. `limit` is 1 to 10,000. An empty page is not an end: ask again from `next`.
     *
     * `InvalidCursor`: this store did not hand out the cursor. That includes a cursor beyond the store's head: it comes
     * from another database, or from before this one was restored to an earlier state. `CursorExpired`: changes behind
     * the cursor are no longer kept.
     */
    readonly changes: (options: {
      readonly cursor?: string | undefined
      readonly limit: number
    }) => Effect.Effect<ChangesPage, InvalidCursor | CursorExpired | StoreUnavailable>
    /** A cursor behind every change that is committed by now. */
    readonly head: Effect.Effect<string, StoreUnavailable>
    /** Succeeds when the store answers and its schema is the one this code was written for. */
    readonly ready: Effect.Effect<void, StoreUnavailable>
    /**
     * Proves, by a small durable write of its own, that the store takes writes right now: reading is not enough, since
     * a store with a full disk and a standby still answer. It leaves no invoice, no history and no event behind. It
     * distinguishes a store that refuses one request from a store that refuses every request; it costs a commit, so
     * don't poll it. It fails with kind `unavailable`.
     */
    readonly writable: Effect.Effect<void, StoreUnavailable>
  }
>()("@invoice/core/ports/InvoiceStore") {}
