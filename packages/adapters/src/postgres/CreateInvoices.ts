/** Creating invoices: many in one statement, and so one transaction with their lines, histories, events and keys. */
import { IdempotencyKeyReused, Invoice, InvoiceConflict, StoreUnavailable, Timestamp } from "@invoice/core"
import type { Creation, InvoiceStore, StoredInvoice } from "@invoice/core/ports/InvoiceStore"
import type { Signal } from "@invoice/core/ports/OutboxSignal"
import { Effect, Exit } from "effect"
import { SqlError } from "effect/sql"
import * as Arrays from "./Arrays.ts"
import { type CreateRequest, insertInvoices, insertWithKeys, parameters } from "./CreateStatements.ts"
import * as IdempotencyKeys from "./IdempotencyKeys.ts"
import * as SqlState from "./SqlState.ts"
import { byId, firstOfEach, type StoreQuery } from "./StoreQuery.ts"

export interface Options {
  readonly query: StoreQuery
  /** Reads the invoices whose ids are taken already. */
  readonly getMany: InvoiceStore["Service"]["getMany"]
  /** Notified when events were written. */
  readonly signal: Signal
  /** For how long idempotency keys are kept. */
  readonly keptMillis: number
}

export type CreateFailure = InvoiceConflict | IdempotencyKeyReused | StoreUnavailable
type Outcome = Exit.Exit<Creation, CreateFailure>
type Outcomes = Map<CreateRequest, Outcome>

/**
 * A request may stay without an outcome in one round: the one before it with the same key has failed, or another
 * transaction has taken its id or key between two statements. The next round decides it, unless it happens again.
 */
const maxRounds = 5

/** One outcome for each request, in their order. */
export const make = ({ getMany, keptMillis, query, signal }: Options) => {
  const keys = IdempotencyKeys.make(query, keptMillis)
  const insert = inserting(query, keptMillis)
  return Effect.fnUntraced(function* (
    requests: ReadonlyArray<CreateRequest>
  ): Effect.fn.Return<ReadonlyArray<Outcome>, StoreUnavailable> {
    const outcomes: Outcomes = new Map()
    let open = requests
    for (let round = 1; round <= maxRounds && open.length > 0; round++) {
      const last = round === maxRounds
      const inserted = yield* last ? insert(open) : retryTakenId(insert(open))
      yield* inserted.size === 0 ? Effect.void : signal.notify
      for (const [request, storedAt] of inserted) outcomes.set(request, created(request.invoice, storedAt))
      const rest = open.filter((request) => !inserted.has(request))
      yield* answerRest({ getMany, keys }, rest, outcomes)
      open = rest.filter((request) => !outcomes.has(request))
    }
    return requests.map((request) => outcomes.get(request) ?? undecided(request))
  })
}

/** Inserts what is new; answers the requests whose invoices were inserted, and when. */
const inserting =
  (query: StoreQuery, keptMillis: number) =>
  (
    requests: ReadonlyArray<CreateRequest>
  ): Effect.Effect<ReadonlyMap<CreateRequest, Timestamp.Timestamp>, StoreUnavailable> => {
    const withKeys = requests.some(IdempotencyKeys.hasKey)
    const writing = firsts(requests, withKeys)
    const rows = withKeys
      ? query<InsertedRow>(insertWithKeys, [
          ...parameters(writing),
          Arrays.texts(writing.map(({ idempotency }) => idempotency?.principal ?? null)),
          Arrays.texts(writing.map(({ idempotency }) => idempotency?.key ?? null)),
          Arrays.byteas(writing.map(({ idempotency }) => (idempotency ? IdempotencyKeys.digest(idempotency) : null))),
          BigInt(keptMillis)
        ])
      : query<InsertedRow>(insertInvoices, parameters(writing))
    return Effect.map(rows, (rows) => {
      const inserted = new Map(rows.map((row) => [row.id, Timestamp.fromMillis(row.stored_at.getTime())]))
      return new Map(
        writing.flatMap((request) => {
          const storedAt = inserted.get(request.invoice.id)
          return storedAt === undefined ? [] : [[request, storedAt] as const]
        })
      )
    })
  }

interface InsertedRow {
  readonly id: string
  readonly stored_at: Date
}

/** The requests that are written: the first of each id and of each key. The others find what these have left. */
const firsts = (requests: ReadonlyArray<CreateRequest>, withKeys: boolean): ReadonlyArray<CreateRequest> => {
  const ofKeys = withKeys
    ? firstOfEach(requests.filter(IdempotencyKeys.hasKey), ({ idempotency }) => IdempotencyKeys.nameOf(idempotency))
    : undefined
  const candidates =
    ofKeys === undefined
      ? requests
      : requests.filter(
          (request) =>
            !IdempotencyKeys.hasKey(request) || ofKeys.get(IdempotencyKeys.nameOf(request.idempotency)) === request
        )
  return [...firstOfEach(candidates, ({ invoice }) => invoice.id).values()].sort((a, b) => byId(a.invoice, b.invoice))
}

const uniqueViolation = "23505"

/** Another transaction has taken an id while the statement with keys ran: nothing is inserted, and it is sent again. */
const retryTakenId = <A>(
  insert: Effect.Effect<ReadonlyMap<CreateRequest, A>, StoreUnavailable>
): Effect.Effect<ReadonlyMap<CreateRequest, A>, StoreUnavailable> =>
  Effect.catch(insert, (error) =>
    SqlError.isSqlError(error.cause) && SqlState.of(error.cause) === uniqueViolation
      ? Effect.succeed(new Map<CreateRequest, A>())
      : Effect.fail(error)
  )

/** Answers requests whose id or key is taken; leaves out those that have to be written again. */
const answerRest = Effect.fnUntraced(function* (
  { getMany, keys }: { readonly getMany: Options["getMany"]; readonly keys: IdempotencyKeys.IdempotencyKeys },
  rest: ReadonlyArray<CreateRequest>,
  outcomes: Outcomes
): Effect.fn.Return<void, StoreUnavailable> {
  const known = yield* keys.find(rest.filter(IdempotencyKeys.hasKey))
  const answerOf = (request: CreateRequest) =>
    request.idempotency && known.get(IdempotencyKeys.nameOf(request.idempotency))
  const ids = rest.map((request) => (answerOf(request)?.invoiceId ?? request.invoice.id) as Invoice.InvoiceId)
  const there = new Map<string, StoredInvoice>((yield* getMany(ids)).map((stored) => [stored.invoice.id, stored]))
  const found = new Map<
    string,
    IdempotencyKeys.Found & { readonly request: CreateRequest; readonly outcome: Outcome }
  >()
  for (const request of rest) {
    const { idempotency, invoice } = request
    const answer = answerOf(request)
    const stored = there.get(answer?.invoiceId ?? invoice.id)
    const outcome = answer ? replayed(request, answer, stored) : stored && compared(invoice, stored)
    if (outcome === undefined) continue
    if (answer || idempotency === undefined || stored === undefined || Exit.isFailure(outcome)) {
      outcomes.set(request, outcome)
    } else if (!found.has(IdempotencyKeys.nameOf(idempotency))) {
      const { version } = stored
      found.set(IdempotencyKeys.nameOf(idempotency), { idempotency, invoiceId: invoice.id, version, request, outcome })
    }
  }
  const taken = yield* keys.take([...found.values()])
  for (const [name, { outcome, request }] of found) {
    if (taken.has(name)) outcomes.set(request, outcome)
  }
})

const initial = (invoice: Invoice.Invoice, storedAt: Timestamp.Timestamp): StoredInvoice => ({
  invoice,
  status: "Pending",
  version: 1,
  violations: [],
  storedAt
})

const created = (invoice: Invoice.Invoice, storedAt: Timestamp.Timestamp): Outcome =>
  Exit.succeed({ outcome: "Created", stored: initial(invoice, storedAt) })

/** The outcome of a request whose id is taken. */
const compared = (invoice: Invoice.Invoice, stored: StoredInvoice): Outcome =>
  Invoice.canonical(stored.invoice) === Invoice.canonical(invoice)
    ? Exit.succeed({ outcome: "Unchanged", stored })
    : Exit.fail(new InvoiceConflict({ id: invoice.id }))

/** The outcome of a request whose key is taken: what the first request was answered. */
const replayed = (
  { idempotency }: CreateRequest,
  { foundVersion, hash }: IdempotencyKeys.Known,
  stored: StoredInvoice | undefined
): Outcome | undefined => {
  if (idempotency !== undefined && idempotency.hash !== hash) {
    return Exit.fail(new IdempotencyKeyReused({ key: idempotency.key }))
  }
  if (stored === undefined) {
    return undefined
  }
  const first = initial(stored.invoice, stored.storedAt)
  return foundVersion === undefined
    ? Exit.succeed({ outcome: "Replayed", stored: first })
    : // an invoice changes once, from pending to its verdict
      Exit.succeed({ outcome: "Unchanged", stored: foundVersion === stored.version ? stored : first })
}

const undecided = ({ invoice }: CreateRequest): Outcome =>
  Exit.fail(
    new StoreUnavailable({
      kind: "retryable",
      cause: new Error(`other requests took the id or the key of invoice ${invoice.id} again and again`)
    })
  )
