/**
 * The idempotency keys of creates. A key that is older than the time for which keys are kept counts as absent: the next
 * request with it takes its row over, and the store's maintenance deletes the rows that nobody takes over.
 */
import type { StoreUnavailable } from "@invoice/core"
import type { Idempotency } from "@invoice/core/ports/InvoiceStore"
import { Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import * as Arrays from "./Arrays.ts"
import * as Client from "./Client.ts"
import type { CreateRequest } from "./CreateStatements.ts"
import type { StoreQuery } from "./StoreQuery.ts"

/** A request with a key. */
export interface KeyedRequest extends CreateRequest {
  readonly idempotency: Idempotency
}

export const hasKey = (request: CreateRequest): request is KeyedRequest => request.idempotency !== undefined

/** Tells keys apart: no principal's name can make the key of one look like that of another. */
export const nameOf = ({ key, principal }: Pick<Idempotency, "key" | "principal">): string =>
  JSON.stringify([principal, key])

/** The answer to the request that has taken a key. */
export interface Known {
  readonly hash: string
  readonly invoiceId: string
  /** The version of the invoice that was there already; undefined when the request created it. */
  readonly foundVersion: number | undefined
}

const selectKeys = `
select k.principal, k.key, encode(k.hash, 'hex') as hash, k.invoice_id, k.found_version
from unnest($1::text[], $2::text[]) as t (principal, key)
join idempotency_key k on k.principal = t.principal and k.key = t.key
where k.at > statement_timestamp() - $3::bigint * interval '1 ms'`

interface KeyRow {
  readonly principal: string
  readonly key: string
  readonly hash: string
  readonly invoice_id: string
  readonly found_version: bigint | null
}

/** Answers the keys that another request has not taken before. */
const insertFound = `
insert into idempotency_key as k (principal, key, hash, invoice_id, found_version)
select * from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::int8[])
  as t (principal, key, hash, invoice_id, found_version)
order by principal collate "C", key collate "C"
on conflict (principal, key) do update
  set hash = excluded.hash, invoice_id = excluded.invoice_id, found_version = excluded.found_version, at = excluded.at
  where k.at <= statement_timestamp() - $6::bigint * interval '1 ms'
returning principal, key`

/** A request that was answered with an invoice that is there already, and the invoice's version. */
export interface Found {
  readonly idempotency: Idempotency
  readonly invoiceId: string
  readonly version: number
}

export const digest = ({ hash }: Idempotency): Uint8Array => Buffer.from(hash, "hex")

export interface IdempotencyKeys {
  /** The keys of these requests that are taken, by `nameOf`. */
  readonly find: (requests: ReadonlyArray<KeyedRequest>) => Effect.Effect<ReadonlyMap<string, Known>, StoreUnavailable>
  /** Takes the keys, each at most once in the list; answers those that nobody has taken before, by `nameOf`. */
  readonly take: (found: ReadonlyArray<Found>) => Effect.Effect<ReadonlySet<string>, StoreUnavailable>
}

/** @param keptMillis for how long keys are kept */
export const make = (query: StoreQuery, keptMillis: number): IdempotencyKeys => ({
  find: (requests) =>
    requests.length === 0
      ? Effect.succeed(new Map())
      : Effect.map(
          query<KeyRow>(selectKeys, [
            Arrays.texts(requests.map(({ idempotency }) => idempotency.principal)),
            Arrays.texts(requests.map(({ idempotency }) => idempotency.key)),
            BigInt(keptMillis)
          ]),
          (rows) =>
            new Map(
              rows.map(({ found_version, hash, invoice_id, ...row }) => [
                nameOf(row),
                {
                  hash,
                  invoiceId: invoice_id,
                  foundVersion: found_version === null ? undefined : Number(found_version)
                }
              ])
            )
        ),
  take: (found) =>
    found.length === 0
      ? Effect.succeed(new Set())
      : Effect.map(
          query<Pick<KeyRow, "key" | "principal">>(insertFound, [
            Arrays.texts(found.map(({ idempotency }) => idempotency.principal)),
            Arrays.texts(found.map(({ idempotency }) => idempotency.key)),
            Arrays.byteas(found.map(({ idempotency }) => digest(idempotency))),
            Arrays.uuids(found.map(({ invoiceId }) => invoiceId)),
            Arrays.bigints(found.map(({ version }) => BigInt(version))),
            BigInt(keptMillis)
          ]),
          (rows) => new Set(rows.map(nameOf))
        )
})

/** Rows that one statement deletes: few enough that it never holds its locks for long. */
const batch = 1_000

/**
 * Deletes the oldest keys that are over, from `$2` on. It leaves out rows that a create has in hand, and answers up to
 * where it came: rows that were deleted before stay in the index until the next vacuum, so it doesn't begin with them
 * again.
 */
const deleteExpired = `
with expired as (
  select ctid, at from idempotency_key
  where at <= statement_timestamp() - $1::bigint * interval '1 ms' and at >= $2::timestamptz
  order by at limit ${batch} for update skip locked
), deleted as (
  delete from idempotency_key where ctid = any (array(select ctid from expired))
)
select count(*) as rows, max(at)::text as until from expired`

/** Deletes every key that is older than the time for which keys are kept, a bounded number in each statement. */
export const forget = (keptMillis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    let from = "-infinity"
    let rows: number
    do {
      const [deleted] = yield* sql.unsafe<{ rows: bigint; until: string | null }>(deleteExpired, [
        BigInt(keptMillis),
        from
      ])
      rows = Number(deleted?.rows ?? 0)
      from = deleted?.until ?? from
    } while (rows === batch)
  })

/** How long `forget` may take, in milliseconds; what is left is deleted a minute later. */
const maintainMillis = 60_000

/** Forgets keys every minute, in every process with a store. */
export const maintain = (keptMillis: number) =>
  Client.within(forget(keptMillis), maintainMillis).pipe(
    Effect.catch((error) =>
      Effect.logWarning("idempotency keys that are over are not deleted").pipe(Effect.annotateLogs({ error }))
    ),
    Effect.repeat(Schedule.spaced("1 minute"))
  )
