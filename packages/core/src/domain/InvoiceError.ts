/**
 * The core's errors, as tagged errors that are independent of any transport. `runtime-node` maps them to HTTP problems
 * in one exhaustive table; an RPC adapter maps them to its codes in another.
 *
 * A message may be shown to a client. A `cause` may not: it is for the log.
 */
import { Schema } from "effect"

/** The schema of `Violation`. It is not in that module, so that browsers can use the type without Schema. */
const Violation = Schema.Struct({
  code: Schema.String,
  severity: Schema.Literals(["error", "warning"]),
  path: Schema.String,
  message: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  actual: Schema.optionalKey(Schema.String)
})

/** No invoice has this id. */
export class InvoiceNotFound extends Schema.TaggedError<InvoiceNotFound>()("InvoiceNotFound", {
  id: Schema.String
}) {
  override get message(): string {
    return `there is no invoice ${this.id}`
  }
}

/** An invoice with this id exists and has other content. */
export class InvoiceConflict extends Schema.TaggedError<InvoiceConflict>()("InvoiceConflict", {
  id: Schema.String
}) {
  override get message(): string {
    return `invoice ${this.id} exists with other content`
  }
}

/** The text can't be an idempotency key. */
export class InvalidIdempotencyKey extends Schema.TaggedError<InvalidIdempotencyKey>()("InvalidIdempotencyKey", {
  reason: Schema.String
}) {
  override get message(): string {
    return `the idempotency key ${this.reason}`
  }
}

/** The client has used this idempotency key for a request with other content. Nothing was written. */
export class IdempotencyKeyReused extends Schema.TaggedError<IdempotencyKeyReused>()("IdempotencyKeyReused", {
  key: Schema.String
}) {
  override get message(): string {
    return "this idempotency key was used for other content: send new content with a new key"
  }
}

/**
 * The types can't hold the input; `violations` lists the faults found (at most 100), in the order of the contract's
 * fields.
 *
 * `kind` is `syntax` when the document has the wrong shape (HTTP 400) and `meaning` when the shape is right but a value
 * is not possible (HTTP 422). Mixed faults are `syntax`.
 */
export class InvalidInvoice extends Schema.TaggedError<InvalidInvoice>()("InvalidInvoice", {
  kind: Schema.Literals(["syntax", "meaning"]),
  violations: Schema.Array(Violation)
}) {
  /** The first violations, and how many more there are: it also goes where there is room for little. */
  override get message(): string {
    const shown = this.violations.slice(0, 3).map(({ message, path }) => `${path || "/"}: ${message}`)
    const more = this.violations.length - shown.length
    return `${shown.join("; ")}${more === 0 ? "" : `; and ${more} more`}`
  }
}

/** A cursor that this store did not hand out. */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>()("InvalidCursor", {
  cursor: Schema.String
}) {
  override get message(): string {
    return "the cursor was not handed out by this store"
  }
}

/** The changes behind this cursor are no longer kept: list the invoices anew, and watch from now. */
export class CursorExpired extends Schema.TaggedError<CursorExpired>()("CursorExpired", {
  cursor: Schema.String
}) {
  override get message(): string {
    return "the changes behind the cursor are no longer kept"
  }
}

/**
 * The store can't answer, or refuses to. `kind` says whether the request may be at fault, and so what to do:
 *
 * - `unavailable`: the request is certainly not at fault. Wait, and send it again for as long as it takes.
 * - `retryable`: the request may be at fault (a deadlock, a held lock). Send it again, a bounded number of times.
 * - `permanent`: the store refuses this request, and will refuse it again.
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  kind: Schema.Literals(["unavailable", "retryable", "permanent"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return this.retryable ? "the invoice store is not available" : "the invoice store refuses the request"
  }

  /** Whether the same call may succeed a little later. */
  get retryable(): boolean {
    return this.kind !== "permanent"
  }
}

/** The outbox can't answer; the relay backs off and tries again. */
export class OutboxUnavailable extends Schema.TaggedError<OutboxUnavailable>()("OutboxUnavailable", {
  cause: Schema.Defect()
}) {
  override get message(): string {
    return "the outbox is not available"
  }
}

/**
 * The database is not the one that the outbox's positions belong to: it was restored from a dump, or upgraded. After a
 * restore its transaction ids have started again, so they no longer tell what was published. `invoice outbox restamp`
 * repairs the positions.
 */
export class OutboxRestored extends Schema.TaggedError<OutboxRestored>()("OutboxRestored", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the outbox's positions belong to database system ${this.expected}, and this is ${this.found}: run \`invoice outbox restamp\``
  }
}

/**
 * The lease is over: another relay holds the lane, or the lease was given back or may have run out. The relay must not
 * write or send anything more under it; the outbox refuses such writes.
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  lane: Schema.Int
}) {
  override get message(): string {
    return `lane ${this.lane} is leased to another relay`
  }
}

/**
 * The broker may take the same batch later: wait and send all of it again, never drop it. Any part of it may have been
 * sent. The same holds for failures that somebody has to repair first, without touching the messages: a missing right
 * to write, too few replicas, a topic that can't be created now.
 */
export class PublishTransient extends Schema.TaggedError<PublishTransient>()("PublishTransient", {
  cause: Schema.Defect()
}) {
  override get message(): string {
    return "the broker did not take the batch, it may later"
  }
}

/**
 * The broker will never take these records of the batch (`index` into the batch, rising). Every other record of the
 * batch is durable, except those of the same topic and key that come after a refused one: they were not sent (a refused
 * record without a key holds back no other). So there is nothing to send again; set the refused records and those
 * behind them aside.
 */
export class PublishRefused extends Schema.TaggedError<PublishRefused>()("PublishRefused", {
  records: Schema.Array(Schema.Struct({ index: Schema.Int, reason: Schema.String }))
}) {
  override get message(): string {
    return `the broker refuses ${this.records.length} record(s): ${this.records[0]?.reason ?? "no reason given"}`
  }
}

/** The consumer lost its broker and could not get it back by itself. */
export class ConsumerUnavailable extends Schema.TaggedError<ConsumerUnavailable>()("ConsumerUnavailable", {
  cause: Schema.Defect()
}) {
  override get message(): string {
    return "the consumer has no broker"
  }
}
