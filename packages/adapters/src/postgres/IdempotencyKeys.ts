/**
 * The idempotency keys of creates. A key that is older than the time for which keys are kept counts as absent: the next
 * request with it takes its row over, and the store's maintenance deletes the rows that nobody takes over.
 */
import { hash } from "node:crypto"
import type { StoreUnavailable } from "@invoice/core"
import type { Idempotency } from "@invoice/core/ports/InvoiceStore"
import { Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import * as Arrays from "./Arrays.ts"
import * as Client from "./Client.ts"
import type { RequestKey } from "./CreateStatements.ts"
import type { StoreQuery } from "./StoreQuery.ts"

/**
 * Stands for a principal and a key, in the table and in locks: the first 128 bits of the SHA-256 of both, as a UUID. It
 * is as long as an id whatever they are, and no principal's name can make the key of one look like that of another.
 */
const idOf = ({ key, principal }: Idempotency): string => {
  const digest = hash("sha256", JSON.stringify([principal, key]))
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-${digest.slice(12, 16)}-${digest.slice(16, 20)}-${digest.slice(20, 32)}`
}

export const keyOf = (idempotency: Idempotency): RequestKey => ({ id: idOf(idempotency), idempotency })

/** The hash of what a client asked for, as the table has it. */
export const hashOf = ({ idempotency }: RequestKey): Uint8Array => Buffer.from(idempotency.hash, "hex")

/** The answer to the request that has taken a key. */
export interface Known {
  readonly hash: string
  readonly invoiceId: string
  /** The version of the invoice that was there already; undefined when the request created it. */
  readonly foundVersion: number | undefined
}

const selectKeys = `
select id, encode(hash, 'hex') as hash, invoice_id, found_version from idempotency_key
where id = any($1::uuid[]) and at > statement_timestamp() - $2::bigint * interval '1 ms'`

interface KeyRow {
  readonly id: string
  readonly hash: string
  readonly invoice_id: string
  readonly found_version: bigint | null
}

/** Answers the keys that another request has not taken before. */
const insertFound = `
insert into idempotency_key as k (id, hash, invoice_id, found_version)
select * from unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::int8[]) as t (id, hash, invoice_id, found_version)
order by id
on conflict (id) do update
  set hash = excluded.hash, invoice_id = excluded.invoice_id, found_version = excluded.found_version, at = excluded.at
  where k.at <= statement_timestamp() - $5::bigint * interval '1 ms'
returning id`

/** A request that was answered with an invoice that is there already, and the invoice's version. */
export interface Found {
  readonly key: RequestKey
  readonly invoiceId: string
  readonly version: number
}

export interface IdempotencyKeys {
  /** Those of the keys that are taken, by id. */
  readonly find: (keys: ReadonlyArray<RequestKey>) => Effect.Effect<ReadonlyMap<string, Known>, StoreUnavailable>
  /** Takes the keys, each at most once in the list; answers the ids of those that nobody has taken before. */
  readonly take: (found: ReadonlyArray<Found>) => Effect.Effect<ReadonlySet<string>, StoreUnavailable>
}

/** @param keptMillis for how long keys are kept */
export const make = (query: StoreQuery, keptMillis: number): IdempotencyKeys => ({
  find: (keys) =>
    keys.length === 0
      ? Effect.succeed(new Map())
      : Effect.map(
          query<KeyRow>(selectKeys, [Arrays.uuids(keys.map(({ id }) => id)), BigInt(keptMillis)]),
          (rows) =>
            new Map(
              rows.map(({ found_version, hash, id, invoice_id }) => [
                id,
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
          query<Pick<KeyRow, "id">>(insertFound, [
            Arrays.uuids(found.map(({ key }) => key.id)),
            Arrays.byteas(found.map(({ key }) => hashOf(key))),
            Arrays.uuids(found.map(({ invoiceId }) => invoiceId)),
            Arrays.bigints(found.map(({ version }) => BigInt(version))),
            BigInt(keptMillis)
          ]),
          (rows) => new Set(rows.map(({ id }) => id))
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
