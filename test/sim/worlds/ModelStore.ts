/**
 * The port `InvoiceStore` on the model of Postgres, as far as the validator uses it. It replaces the adapter, whose
 * statements are about columns and arrays: the faults here are about transactions, locks and lost answers.
 */
import { InvoiceEvent, InvoiceStore, StoreUnavailable } from "@invoice/core"
import type { Invoice, InvoiceId } from "@invoice/core/Invoice"
import type { Decided, Decision, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import type { Verdict } from "@invoice/core/Verdict"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Connections } from "../postgres/Connections.ts"
import { type Meaning, type Session, Statements } from "../postgres/Statements.ts"
import type { Aggregate } from "../postgres/Tables.ts"
import { Failed } from "../postgres/Transaction.ts"

/** The invoices' data outside of the model's rows: their content, and which of them the store refuses to decide. */
export interface Contents {
  readonly invoices: ReadonlyMap<string, Invoice>
  readonly refused: ReadonlySet<string>
  /** Changes the verdict that the event has; the identity without a mutant. */
  readonly told: (verdict: Verdict) => Verdict
  /** How many more statements fail because of a conflicting transaction. */
  conflicts: number
}

const texts = { getMany: "select invoices", decide: "decide", ready: "select version", writable: "write a proof" }

/** How long a statement may take, in milliseconds. */
const deadline = 1_000

const encoder = new TextEncoder()

const rowOf = ({ server, transaction }: Session, id: string): Aggregate | undefined =>
  server.tables.aggregates.get(id)?.read(transaction)

const demandWrites = ({ server }: Session): void => {
  const { refusedWrites, refusesWrites } = server
  if (refusesWrites === undefined) return
  refusedWrites.set(refusesWrites, (refusedWrites.get(refusesWrites) ?? 0) + 1)
  throw new Failed("unavailable", refusesWrites)
}

const apply = (session: Session, { told }: Contents, decision: Decision): Decided => {
  const { server, transaction } = session
  const { id, verdict, version } = decision
  const cell = server.tables.aggregates.get(id)
  if (cell?.read(transaction) === undefined) return { id, outcome: "NotFound" }
  server.lock(transaction, cell)
  const row = cell.read(transaction)
  if (row === undefined) return { id, outcome: "NotFound" }
  if (row.status !== "Pending") return { id, outcome: "AlreadyFinal" }
  if (row.version !== version) return { id, outcome: "Stale" }
  server.write(transaction, cell, { version: version + 1, status: verdict.status })
  const { payload, topic, type } = InvoiceEvent.decided(id, version + 1, told(verdict))
  const seq = server.nextval(transaction)
  server.insertEvent({
    seq,
    xid: server.assign(transaction),
    lane: 0,
    id: `verdict-${seq}`,
    topic,
    key: id,
    ver: version + 1,
    type,
    payload: encoder.encode(payload),
    at: server.clock,
    writer: transaction
  })
  return { id, outcome: "Decided" }
}

/** Rows are locked in one order, so that two batches never wait for one another. */
const decide =
  (contents: Contents): Meaning =>
  (session, [parameter]) => {
    const decisions = parameter as ReadonlyArray<Decision>
    demandWrites(session)
    for (const { id } of decisions) {
      if (contents.refused.has(id)) throw new Failed("permanent", `violates a constraint: ${id}`)
    }
    if (contents.conflicts > 0) {
      contents.conflicts -= 1
      throw new Failed("retryable", "could not serialize access")
    }
    for (const { id } of decisions.toSorted((one, other) => (one.id < other.id ? -1 : 1))) {
      const cell = session.server.tables.aggregates.get(id)
      if (cell?.committed !== undefined) session.server.lock(session.transaction, cell)
    }
    return decisions.map((decision) => ({ ...apply(session, contents, decision) }))
  }

const writable: Meaning = (session) => {
  demandWrites(session)
  session.server.nextval(session.transaction)
  return []
}

export const statements = (contents: Contents): Statements =>
  new Statements().bind(texts, {
    getMany: (session, [ids]) =>
      (ids as ReadonlyArray<string>).flatMap((id) => {
        const row = rowOf(session, id)
        return row === undefined ? [] : [{ id, version: row.version, status: row.status }]
      }),
    decide: decide(contents),
    ready: () => [{ version: 1 }],
    writable
  })

const unavailable = (error: SqlError.SqlError): StoreUnavailable => {
  const { cause } = error.reason
  return new StoreUnavailable({ kind: cause instanceof Failed ? cause.kind : "unavailable", cause: error })
}

const nobodyAsks = Effect.die(new Error("the validator does not ask for this"))

export const make = (connections: Connections, { invoices }: Contents): InvoiceStore["Service"] => {
  const run = (text: string, parameters: ReadonlyArray<unknown>) =>
    Effect.mapError(connections.execute(text, parameters, deadline), unavailable)
  const storedAt = "2026-11-25T00:00:00Z" as StoredInvoice["storedAt"]
  const stored = (row: Readonly<Record<string, unknown>>): ReadonlyArray<StoredInvoice> => {
    const invoice = invoices.get(String(row["id"]))
    if (invoice === undefined) return []
    const status = row["status"] as StoredInvoice["status"]
    return [{ invoice, status, version: Number(row["version"]), violations: [], storedAt }]
  }
  return InvoiceStore.of({
    create: () => nobodyAsks,
    get: () => nobodyAsks,
    list: () => nobodyAsks,
    history: () => nobodyAsks,
    changes: () => nobodyAsks,
    head: nobodyAsks,
    getMany: (ids: ReadonlyArray<InvoiceId>) =>
      Effect.map(run(texts.getMany, [[...new Set(ids)]]), (rows) => rows.flatMap(stored)),
    decide: (decisions) =>
      Effect.map(run(texts.decide, [decisions]), (rows) => rows as unknown as ReadonlyArray<Decided>),
    ready: Effect.asVoid(run(texts.ready, [])),
    writable: Effect.asVoid(run(texts.writable, []))
  })
}
