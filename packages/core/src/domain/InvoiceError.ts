/**
 * What can go wrong, as tagged errors free of any transport. `runtime-node` maps them to HTTP problems in one
 * exhaustive table; an RPC adapter maps them to its codes in another.
 *
 * A message may be shown to a client. A `cause` may not: it is for the log.
 */
import { Schema } from "effect"

/** `Violation`, whose module has no schema: it is within reach of browsers. */
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

/** An invoice with this id exists and says something else. */
export class InvoiceConflict extends Schema.TaggedError<InvoiceConflict>()("InvoiceConflict", {
  id: Schema.String
}) {
  override get message(): string {
    return `invoice ${this.id} exists with other content`
  }
}

/**
 * The input can't be held by the types; `violations` lists every fault found, in the order of the contract's fields.
 *
 * `kind` is `syntax` when the document has the wrong shape (HTTP 400) and `meaning` when the shape is right but a
 * value is not possible (HTTP 422). Mixed faults are `syntax`.
 */
export class InvalidInvoice extends Schema.TaggedError<InvalidInvoice>()("InvalidInvoice", {
  kind: Schema.Literals(["syntax", "meaning"]),
  violations: Schema.Array(Violation)
}) {
  override get message(): string {
    return this.violations.map((violation) => `${violation.path || "/"}: ${violation.message}`).join("; ")
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
 * The store can't answer, or won't. `kind` says whose fault it may be, and so what to do:
 *
 * - `unavailable`: nobody's, certainly not the request's. Wait, and send it again for as long as it takes.
 * - `retryable`: perhaps the request's (a deadlock, a lock that somebody holds). Send it again, a bounded number of times.
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
 * The database is not the one that the outbox's positions belong to: it was restored from a dump, or upgraded. Its
 * transaction ids have started again, so nobody can say by them what was published. `invoice outbox restamp` can.
 */
export class OutboxRestored extends Schema.TaggedError<OutboxRestored>()("OutboxRestored", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the outbox's positions belong to database system ${this.expected}, and this is ${this.found}: run \`invoice outbox restamp\``
  }
}

/** Another relay holds the lane, or took it over: whatever this one still wants to write is refused. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  lane: Schema.Int
}) {
  override get message(): string {
    return `lane ${this.lane} is leased to another relay`
  }
}

/**
 * The broker may take the same batch later: wait and send all of it again, never drop it. Any part of it may have been sent.
 * Also what somebody must set right first, without touching the messages, is of this kind: a right to write that is
 * missing, too few replicas, a topic that can't be created now.
 */
export class PublishTransient extends Schema.TaggedError<PublishTransient>()("PublishTransient", {
  cause: Schema.Defect()
}) {
  override get message(): string {
    return "the broker did not take the batch, it may later"
  }
}

/**
 * The broker will never take these records of the batch (`index` into the batch, rising). Every other record of the batch
 * is durable, except those of the same topic and key that come after a refused one: they were not sent (a record without
 * a key has none behind it). So there is nothing to send again; set the refused records and those behind them aside.
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
